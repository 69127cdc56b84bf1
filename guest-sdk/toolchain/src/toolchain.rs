//! The guest compiler: where it comes from, and how it is run.

mod debian;
mod rustup;

use std::path::PathBuf;
use std::process::Command;

use crate::Error;

pub use debian::packages as debian_packages;

/// The compilation target of guests. It yields a core module that contains its component type and imports only the
/// interfaces of its world.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Makes getrandom take its random numbers from the SDK.
const ENTROPY: &str = "--cfg getrandom_backend=\"custom\"";

/// Below `usr/lib`, where Debian keeps the compiler's shared libraries.
const HOST_LIBRARIES: &str = "x86_64-linux-gnu";

/// Where the guest compiler comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToolchainSource {
    /// An installed target, else rustup, else Debian's packages.
    #[default]
    Auto,
    /// `rustup target add`, and nothing else.
    Rustup,
    /// Debian's packages, unpacked into the user's cache directory, and nothing else.
    Debian,
}

impl ToolchainSource {
    /// Reads `SANDBUS_GUEST_TOOLCHAIN`: `rustup`, `debian`, or unset for [`ToolchainSource::Auto`].
    ///
    /// # Errors
    /// If the variable has another value.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var("SANDBUS_GUEST_TOOLCHAIN").as_deref() {
            Err(_) | Ok("" | "auto") => Ok(Self::Auto),
            Ok("rustup") => Ok(Self::Rustup),
            Ok("debian") => Ok(Self::Debian),
            Ok(other) => Err(Error::UnknownSource(other.to_owned())),
        }
    }
}

/// A guest compiler that is ready for use.
#[derive(Clone, Debug)]
pub struct Toolchain {
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    /// The default toolchain has the target.
    Default,
    /// An unpacked toolchain: its `usr` directory, and the linker to use with it.
    Unpacked { usr: PathBuf, linker: PathBuf },
}

impl Toolchain {
    /// Finds the guest compiler, and sets it up if it is missing. `say` receives a line for each slow step. A
    /// repetition is cheap, and resumes an interrupted set-up.
    ///
    /// # Errors
    /// If the compiler cannot be set up. The message says what was tried and what to do.
    pub fn ensure(source: ToolchainSource, say: &mut dyn FnMut(&str)) -> Result<Self, Error> {
        match source {
            ToolchainSource::Rustup => rustup::ensure(say),
            ToolchainSource::Debian => debian::ensure(say),
            ToolchainSource::Auto if rustup::is_installed()? => Ok(Self { kind: Kind::Default }),
            ToolchainSource::Auto => rustup::ensure(say).or_else(|rustup| {
                say("rustup could not add the target; falling back to Debian's packages");
                debian::ensure(say)
                    .map_err(|debian| Error::Neither { rustup: Box::new(rustup), debian: Box::new(debian) })
            }),
        }
    }

    /// The compiler of guests.
    pub(crate) fn rustc(&self) -> Command {
        match &self.kind {
            Kind::Default => Command::new("rustc"),
            Kind::Unpacked { usr, .. } => {
                let mut rustc = Command::new(usr.join("bin/rustc"));
                rustc.env("LD_LIBRARY_PATH", usr.join("lib").join(HOST_LIBRARIES));
                rustc
            }
        }
    }

    /// The cargo command for guests. Variables that an outer cargo or rustup has set are removed, because they could
    /// select another compiler.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new("cargo");
        for name in ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET"] {
            command.env_remove(name);
        }
        let name = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
        let flags = std::env::var(name).unwrap_or_default();
        command.env(name, format!("{flags} {ENTROPY}").trim());
        if let Kind::Unpacked { usr, linker } = &self.kind {
            command.env("RUSTC", usr.join("bin/rustc"));
            command.env("LD_LIBRARY_PATH", usr.join("lib").join(HOST_LIBRARIES));
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            for name in ["RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTDOC"] {
                command.env_remove(name);
            }
        }
        command
    }
}
