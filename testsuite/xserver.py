"""An X server without a screen, to see what a window shows and to type into it."""
import os
import pathlib
import re
import subprocess

import pictures


class XServer:
    """Xvfb on the first free display, with its screen as a file."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def __enter__(self):
        answer, number = os.pipe()
        self.process = subprocess.Popen(
            ["Xvfb", "-displayfd", str(number), "-screen", "0", "1024x768x24", "-fbdir", str(self.folder)],
            pass_fds=[number], stderr=subprocess.DEVNULL)
        os.close(number)
        with open(answer) as display:  # One line when it is ready.
            self.environment = dict(os.environ, DISPLAY=":" + display.readline().strip())
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def xdotool(self, *arguments):
        return subprocess.run(["xdotool", *arguments], env=self.environment, capture_output=True, text=True)

    def window(self, title):
        """What the window shows; None without one."""
        found = self.xdotool("search", "--name", f"^{title}$", "getwindowgeometry", "--shell")
        place = {name: int(value) for name, value in re.findall(r"^(X|Y|WIDTH|HEIGHT)=(\d+)$", found.stdout, re.MULTILINE)}
        if len(place) < 4:
            return None
        screen = pictures.read_xwd((self.folder / "Xvfb_screen0").read_bytes())
        return screen.part(place["X"], place["Y"], place["WIDTH"], place["HEIGHT"])

    def type(self, text, *keys):
        self.xdotool("type", "--delay", "100", text)
        for key in keys:
            self.xdotool("key", key)
