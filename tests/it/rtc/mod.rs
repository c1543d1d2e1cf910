#[cfg(target_os = "linux")]
mod loss;
#[cfg(target_os = "linux")]
mod threads;
mod virtual_malice;
mod virtual_sealing;
mod virtual_time;
mod virtual_tracks;
