#!/usr/bin/env python3
"""Foreign WebRTC stacks play a station: run.py BINARY [ONLY...]

Starts the program with a test tone and has each player offer sound alone, sound before pictures, and pictures before sound, by
each of its bundle policies. A player plays if what it decoded has the tone's frequency and level. Exit code 1 if one did not.
Runs on Linux, with the packages that the Makefile names.
"""
import array
import itertools
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
TARGET = HERE.parent.parent / "target" / "players"
ORDERS = ["audio", "audio,video", "video,audio"]
TONE_HZ = 440
RATE_HZ = 48_000
# Half a second of those for which a player listens; connecting takes its time.
LEAST_SAMPLES = RATE_HZ // 2
AT_ONCE = 2

# Each player's command and policies. `none` is GStreamer's: no group.
PLAYERS = {
    "gstreamer": (["/usr/bin/python3", HERE / "gstreamer.py"], ["none", "balanced", "max-compat", "max-bundle"]),
    "aiortc": ([TARGET / "python" / "bin" / "python", HERE / "aiortc_player.py"], ["balanced", "max-compat", "max-bundle"]),
    "pion": ([TARGET / "pion"], ["balanced", "max-compat", "max-bundle"]),
}


def start(binary, folder):
    """The program and its URL."""
    log = open(folder / "roomtone.log", "w")
    flags = ["--sine-wave", "--tone", str(TONE_HZ), "--port", "0", "--no-tls", "--max-listeners-per-address", "1000"]
    program = subprocess.Popen([binary, *flags], stderr=log, stdout=log, env={**os.environ, "XDG_STATE_HOME": str(folder)})
    for _ in range(100):
        for line in (folder / "roomtone.log").read_text().splitlines():
            if "open http://localhost:" in line:
                url = line.split("open ")[1].strip()
                urllib.request.urlopen(url + "healthz")
                return program, url + "whep"
        try:
            program.wait(0.1)
            break
        except subprocess.TimeoutExpired:
            pass
    sys.exit("the program did not start:\n" + (folder / "roomtone.log").read_text())


def samples_of(player, path, folder):
    """What was heard: the left channel."""
    if player == "pion" and path.exists():
        decoded = folder / (path.name + ".raw")
        pipeline = (
            f"filesrc location={path} ! application/x-rtp-stream,media=audio,clock-rate={RATE_HZ},encoding-name=OPUS,payload=111 "
            "! rtpstreamdepay ! rtpopusdepay ! opusdec ! audioconvert ! audioresample "
            f"! audio/x-raw,format=S16LE,rate={RATE_HZ},channels=2 ! filesink location={decoded}"
        )
        subprocess.run(["gst-launch-1.0", "-q", *pipeline.split()], check=False)
        path = decoded
    if not path.exists():
        return []
    content = path.read_bytes()
    return array.array("h", content[: len(content) // 4 * 4])[::2]


def verdict(samples):
    """Why it did not play; None if it did. The tone has half of full scale."""
    heard = list(itertools.dropwhile(lambda sample: abs(sample) < 100, samples))
    # Without what comes before the tone is steady.
    heard = heard[RATE_HZ // 10 :]
    if len(heard) < LEAST_SAMPLES:
        return f"heard {len(heard)} samples"
    rising = sum(before < 0 <= after for before, after in zip(heard, heard[1:]))
    hz = rising * RATE_HZ / len(heard)
    peak = max(map(abs, heard))
    if abs(hz - TONE_HZ) > TONE_HZ * 0.02:
        return f"heard {hz:.1f} Hz"
    if peak < 3_000:
        return f"heard a peak of {peak} of 32767"
    return None


def main(binary, only):
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        program, url = start(binary, folder)
        runs = [
            (player, command, policy, order)
            for player, (command, policies) in PLAYERS.items()
            for policy in policies
            for order in ORDERS
            if not only or player in only
        ]
        try:
            while runs:
                batch, runs = runs[:AT_ONCE], runs[AT_ONCE:]
                started = []
                for player, command, policy, order in batch:
                    name = f"{player} {policy} {order}"
                    path = folder / name.replace(" ", "-").replace(",", "-")
                    log = open(str(path) + ".log", "w+")
                    started.append((name, player, path, log, subprocess.Popen([*command, url, order, policy, path], stdout=log, stderr=log)))
                for name, player, path, log, process in started:
                    try:
                        process.wait(60)
                    except subprocess.TimeoutExpired:
                        process.kill()
                    wrong = verdict(samples_of(player, path, folder))
                    print(f"{'plays' if wrong is None else 'FAILS'}  {name}{': ' + wrong if wrong else ''}", flush=True)
                    if wrong is not None:
                        log.seek(0)
                        print(log.read())
                        failed.append(name)
        finally:
            program.terminate()
            program.wait()
    sys.exit(f"{len(failed)} did not play" if failed else 0)


main(sys.argv[1], sys.argv[2:])
