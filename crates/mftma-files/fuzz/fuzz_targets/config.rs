//! Any text as a `--config` file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mftma_cli::settings::Settings;

fuzz_target!(|text: &str| {
    if let Ok(settings) = Settings::from_config(text) {
        let _ = settings.validate();
    }
});
