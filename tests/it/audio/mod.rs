mod pulse_devices;
mod pulse_failures;
mod pulse_sound;
mod recording;
