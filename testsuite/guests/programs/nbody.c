// A planetary system in double precision: SSE2 in 64-bit code, x87 in 32-bit code.
// The result is rounded to 1e-6 so that x87's wider intermediates do not show.
#include "runtime.h"

enum { BODIES = 5, STEPS = 260000 };

struct body {
	double x, y, z, vx, vy, vz, mass;
};

// Positions in astronomical units, velocities per year, masses in suns times 4 pi^2 (J2000, rounded).
static struct body bodies[BODIES] = {
	{0, 0, 0, 0, 0, 0, 39.478417604357432},
	{4.8414314424647, -1.1603200440274, -0.1036220444711, 0.6063263929958, 2.8119868449162, -0.0252183616598, 0.0376936749096},
	{8.3433667182446, 4.1247985641243, -0.4035234171143, -1.0107743461787, 1.8256623712304, 0.0084157613765, 0.0112863261319},
	{12.8943695621391, -15.1111514016986, -0.2233075788926, 1.0827910064415, 0.8687130181696, -0.0108326374013, 0.0017237240570},
	{15.3796971148509, -25.9193146099879, 0.1792587729504, 0.9790907322432, 0.5946989986476, -0.0347559555049, 0.0020336868699},
};

static double root(double value) {
#ifdef __x86_64__
	__asm__("sqrtsd %0, %0" : "+x"(value));
#else
	__asm__("fsqrt" : "+t"(value));
#endif
	return value;
}

static double energy(void) {
	double total = 0;
	for (int i = 0; i < BODIES; i++) {
		struct body *a = &bodies[i];
		total += 0.5 * a->mass * (a->vx * a->vx + a->vy * a->vy + a->vz * a->vz);
		for (int j = i + 1; j < BODIES; j++) {
			struct body *b = &bodies[j];
			double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
			total -= a->mass * b->mass / root(dx * dx + dy * dy + dz * dz);
		}
	}
	return total;
}

static void advance(double step) {
	for (int i = 0; i < BODIES; i++) {
		struct body *a = &bodies[i];
		for (int j = i + 1; j < BODIES; j++) {
			struct body *b = &bodies[j];
			double dx = a->x - b->x, dy = a->y - b->y, dz = a->z - b->z;
			double squared = dx * dx + dy * dy + dz * dz;
			double pull = step / (squared * root(squared));
			a->vx -= dx * b->mass * pull, a->vy -= dy * b->mass * pull, a->vz -= dz * b->mass * pull;
			b->vx += dx * a->mass * pull, b->vy += dy * a->mass * pull, b->vz += dz * a->mass * pull;
		}
	}
	for (int i = 0; i < BODIES; i++) {
		struct body *a = &bodies[i];
		a->x += step * a->vx, a->y += step * a->vy, a->z += step * a->vz;
	}
}

static int program(int count, char **arguments) {
	(void)count, (void)arguments;
	for (int i = 0; i < STEPS; i++)
		advance(0.01);
	print_hex((uint32_t)(int32_t)(energy() * 1e6 + (energy() < 0 ? -0.5 : 0.5)));
	return 0;
}
