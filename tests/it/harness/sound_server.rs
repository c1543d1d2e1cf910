//! A real sound server without hardware: a PulseAudio process with a temporary folder of its own and a null sink
//! `vout`, whose monitor can be captured, and `paplay` to play into it. It can be killed, restarted and made to hang.
//! It changes neither the environment of this process nor any other sound server of this machine.

use std::f64::consts::TAU;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use roomtone::audio::sources::pulse::host::PulseHost;

/// How long the server may take to answer, on a busy machine.
const START_TIMEOUT: Duration = Duration::from_secs(15);

/// A PulseAudio server that ends with the test.
pub struct SoundServer {
    dir: tempfile::TempDir,
    daemon: Option<Child>,
}

impl SoundServer {
    /// Starts the server and waits until it answers.
    pub fn start() -> SoundServer {
        let dir = tempfile::Builder::new().prefix("roomtone-pulse-").tempdir().expect("a temporary folder");
        let mut server = SoundServer { dir, daemon: None };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let mut command = self.command("pulseaudio");
        command.args(["-n", "--daemonize=no", "--exit-idle-time=-1", "--log-target=stderr", "--log-level=error"]);
        command.args(["-L", "module-native-protocol-unix", "-L", "module-null-sink sink_name=vout rate=48000"]);
        let daemon = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.daemon = Some(daemon.expect("pulseaudio is installed (make test does it)"));
        let started = Instant::now();
        while self.host().list().map_or(true, |devices| devices.is_empty()) {
            assert!(started.elapsed() < START_TIMEOUT, "pulseaudio does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The path of its socket, for `PULSE_SERVER=unix:PATH`.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("pulse/native")
    }

    /// The `HOME` of its clients, where its cookie is.
    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    /// roomtone's host for this server.
    pub fn host(&self) -> PulseHost {
        PulseHost::at(self.socket())
    }

    /// A program that uses this server; not started yet.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("DBUS_SESSION_BUS_ADDRESS", "");
        command.env("PULSE_SERVER", format!("unix:{}", self.socket().display())).env_remove("DISPLAY");
        command.env_remove("PULSE_RUNTIME_PATH").env_remove("PULSE_COOKIE").stdin(Stdio::null());
        command
    }

    /// Runs `pactl` and returns what it printed.
    pub fn pactl(&self, arguments: &[&str]) -> String {
        let output = self.command("pactl").args(arguments).output().expect("pactl is installed");
        assert!(output.status.success(), "pactl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Plays a WAVE file into `sink` until the returned player is dropped.
    pub fn play(&self, wav: &Path, sink: &str) -> Player {
        let mut command = self.command("paplay");
        // Without this, up to two seconds pass before the first block.
        command.arg("--latency-msec=50").arg("-d").arg(sink).arg(wav);
        Player(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("paplay is installed"))
    }

    /// The same for sound of so many channels, each into the sink's channel of that number.
    pub fn play_as(&self, wav: &Path, sink: &str, channels: usize) -> Player {
        let mut command = self.command("pacat");
        command.args(["--latency-msec=50", "--raw", "--no-remix", "--no-remap", "--format=s16le", "--rate=48000"]);
        command.arg(format!("--channels={channels}")).arg("-d").arg(sink).arg(wav);
        Player(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("pacat is installed"))
    }

    /// A file in the server's folder with five seconds of a tone at half of full scale in one of so many channels, for
    /// [`play_as`](SoundServer::play_as).
    pub fn tone_in_channel(&self, channel: usize, channels: usize) -> PathBuf {
        let path = self.dir.path().join(format!("{channel}-of-{channels}.raw"));
        let mut samples = vec![];
        for n in 0..5 * 48_000 {
            let value = ((n as f64 * 440.0 * TAU / 48_000.0).sin() * 16_384.0) as i16;
            (0..channels).for_each(|c| samples.extend(if c == channel { value } else { 0 }.to_le_bytes()));
        }
        std::fs::write(&path, samples).expect("the folder is writable");
        path
    }

    /// A WAVE file in the server's folder with a tone in each channel: 16 bit, 48 kHz.
    pub fn tones(&self, left_hz: f64, right_hz: f64, seconds: u32) -> PathBuf {
        let path = self.dir.path().join(format!("{left_hz}-{right_hz}.wav"));
        std::fs::write(&path, wav_of_tones(left_hz, right_hz, seconds)).expect("the folder is writable");
        path
    }

    /// A source `mic` that delivers what is written to the returned FIFO: S16LE, 48 kHz, stereo.
    pub fn microphone(&self) -> PathBuf {
        let fifo = self.dir.path().join("mic.fifo");
        let file = format!("file={}", fifo.display());
        let arguments =
            ["load-module", "module-pipe-source", "source_name=mic", &file, "format=s16le", "rate=48000", "channels=2"];
        self.pactl(&arguments);
        fifo
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Kills the server and starts another on the same socket.
    pub fn restart(&mut self) {
        self.kill();
        // A killed server leaves its files behind, and the next would take them for those of a running server.
        let _ = std::fs::remove_dir_all(self.dir.path().join("pulse"));
        self.launch();
    }

    /// Makes it hang (SIGSTOP).
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it continue (SIGCONT).
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.daemon.as_ref().expect("the server runs").id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().expect("kill").success());
    }
}

impl Drop for SoundServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A running `paplay`; killed when dropped.
pub struct Player(Child);

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wav_of_tones(left_hz: f64, right_hz: f64, seconds: u32) -> Vec<u8> {
    let samples = seconds * 48_000;
    let data_bytes = samples * 4;
    let mut wav = Vec::with_capacity(44 + data_bytes as usize);
    wav.extend(b"RIFF");
    wav.extend((36 + data_bytes).to_le_bytes());
    wav.extend(b"WAVEfmt ");
    wav.extend(16_u32.to_le_bytes());
    wav.extend([1_u16, 2].map(u16::to_le_bytes).concat());
    wav.extend([48_000_u32, 48_000 * 4].map(u32::to_le_bytes).concat());
    wav.extend([4_u16, 16].map(u16::to_le_bytes).concat());
    wav.extend(b"data");
    wav.extend(data_bytes.to_le_bytes());
    for n in 0..samples {
        for hz in [left_hz, right_hz] {
            let sample = 0.5 * (TAU * hz * f64::from(n) / 48_000.0).sin();
            wav.extend(((sample * f64::from(i16::MAX)) as i16).to_le_bytes());
        }
    }
    wav
}

/// The strongest frequency in sound at 48 kHz, exact to a fraction of a Hz. Gaps do not change it: `paplay` makes some
/// when the machine is busy.
pub fn tone_hz(samples: &[f32]) -> f64 {
    let length = samples.len().min(1 << 17);
    let fft = realfft::RealFftPlanner::<f32>::new().plan_fft_forward(length);
    let window = |n: usize| 0.5 - 0.5 * (std::f32::consts::TAU * n as f32 / length as f32).cos();
    let mut input: Vec<f32> = samples.iter().take(length).enumerate().map(|(n, sample)| sample * window(n)).collect();
    let mut spectrum = fft.make_output_vec();
    fft.process(&mut input, &mut spectrum).expect("the lengths fit");
    let power: Vec<f64> = spectrum.iter().map(|bin| f64::from(bin.norm_sqr())).collect();
    let peak = (0..power.len()).max_by(|&a, &b| power[a].total_cmp(&power[b])).unwrap_or(0);
    peak as f64 * 48_000.0 / length as f64
}

/// Writes an impulse of 5 ms every 100 ms into a microphone's FIFO, in real time, and returns when each began: 5 ms
/// before it was written, as a card delivers a block when its last sample has been captured.
pub fn write_impulses(fifo: &Path, impulses: u32) -> Vec<Instant> {
    let mut pipe = std::fs::OpenOptions::new().write(true).open(fifo).expect("the FIFO");
    let started = Instant::now();
    let mut written = Vec::new();
    for slot in 0..impulses * 20 {
        let is_impulse = slot % 20 == 10;
        let sample: i16 = if is_impulse { 16_000 } else { 0 };
        let block: Vec<u8> = sample.to_le_bytes().repeat(240 * 2);
        let due = started + Duration::from_millis(5) * slot;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if is_impulse {
            written.push(Instant::now() - Duration::from_millis(5));
        }
        if pipe.write_all(&block).is_err() {
            break;
        }
    }
    written
}
