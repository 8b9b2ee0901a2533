import Hypervisor
import Processor
import XenABI

/// A paravirtual 64-bit guest of a few bytes, and what it did.
final class TestGuest: DomainObserver {
  /// Where its code and data lie: the second page of its memory is mapped at virtual 1000H.
  static let entry: UInt64 = 0x1000
  static let data: UInt64 = 0x2000

  let hypervisor: Hypervisor
  private(set) var domain: Domain!
  private(set) var text = ""
  private(set) var console: ConsoleRing!

  private final class Nobody: EventService {
    func guestNotified(_ domain: Domain, port: EventPort) {}
  }
  private let nobody = Nobody()

  /// - Parameters:
  ///   - code: executed from `entry`; ends with a shutdown, or by itself when the steps are used up.
  ///   - data: bytes at `data`.
  init(on hypervisor: Hypervisor? = nil, code: [UInt8], data: [UInt8] = [], weight: Int = 256, cap: Int = 0, isCompat: Bool = false) throws {
    let h = hypervisor ?? Hypervisor(memoryBytes: 64 << 20, model: CPUModel.named("x86-64-v3")!)
    self.hypervisor = h
    let kernel = ParavirtualKernel(
      segments: [.init(address: Self.entry, bytes: code[...], size: 4096), .init(address: Self.data, bytes: data[...], size: 8192)],
      entry: Self.entry, virtualBase: 0, isCompat: isCompat, hypercallPage: nil, initialP2M: nil, modulesByPFN: false)
    let built = try h.build(DomainRequest(name: "test", memoryBytes: 4 << 20, weight: weight, cap: cap), kernel: .paravirtual(kernel), store: nobody)
    domain = built.domain
    console = built.console
    domain.observer = self
    h.unpause(domain)
  }

  func domain(_ domain: Domain, wroteToConsole bytes: [UInt8]) { text += String(decoding: bytes, as: UTF8.self) }
  func domainEnded(_ domain: Domain) {}

  /// Lets all domains run until this one has ended, or for a number of steps.
  func run(steps: Int = 200) {
    for _ in 0..<steps where domain.state == .running {
      if case .idle(let until) = hypervisor.step() {
        guard let until else { return }
        hypervisor.advance(to: until)
      }
    }
  }
}

/// Machine code of the things guests do.
enum Code {
  private static func word(_ v: UInt32) -> [UInt8] { [UInt8(v & 255), UInt8(v >> 8 & 255), UInt8(v >> 16 & 255), UInt8(v >> 24)] }

  /// mov edi, a; mov esi, b; mov edx, c; mov r10d, d; mov eax, number; syscall
  static func hypercall(_ number: Hypercall, _ a: UInt32 = 0, _ b: UInt32 = 0, _ c: UInt32 = 0, _ d: UInt32 = 0) -> [UInt8] {
    [0xBF] + word(a) + [0xBE] + word(b) + [0xBA] + word(c) + [0x41, 0xBA] + word(d) + [0xB8] + word(number.rawValue) + [0x0F, 0x05]
  }

  /// The same of a 32-bit guest: mov ebx, a; mov ecx, b; mov edx, c; mov eax, number; int 82h
  static func hypercall32(_ number: Hypercall, _ a: UInt32 = 0, _ b: UInt32 = 0, _ c: UInt32 = 0) -> [UInt8] {
    [0xBB] + word(a) + [0xB9] + word(b) + [0xBA] + word(c) + [0xB8] + word(number.rawValue) + [0xCD, 0x82]
  }

  /// Stores EAX: mov [address], eax
  static func storeResult32(at address: UInt64) -> [UInt8] { [0xA3] + word(UInt32(address)) }

  /// Shows `count` bytes at an address on Xen's console.
  static func show(_ address: UInt64, _ count: Int) -> [UInt8] { hypercall(.consoleIO, 0, UInt32(count), UInt32(address)) }

  /// Stores RAX as the guest's result: mov [address], rax
  static func storeResult(at address: UInt64) -> [UInt8] { [0x48, 0x89, 0x04, 0x25] + word(UInt32(address)) }

  /// SCHEDOP_shutdown with the reason at an address.
  static func shutdown(_ reasonAt: UInt64) -> [UInt8] { hypercall(.schedOp, 2, UInt32(reasonAt)) }

  /// Does nothing, forever: 60 × nop; jmp back
  static let spin = [UInt8](repeating: 0x90, count: 60) + [0xEB, 0xC2]
}
