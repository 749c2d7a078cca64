//! Compiled components, kept from one start to the next.
//!
//! # Why a file from here may be run
//! Compiled code is machine code: to load it is to trust whoever wrote it. A file is loaded only when an HMAC-SHA-256
//! over its contents and its name is right under a key that this module made, and that nobody else could read or
//! replace: the folder and the key belong to us and are closed to everyone else (0700, 0600), which is checked at every
//! start, and links are not followed for either. Whoever can get around that runs as us already. What is checked and
//! what is loaded are the same bytes in memory, so the file can't be exchanged in between. A file that is wrong in any
//! way is compiled anew and replaced; it is never an error.
//!
//! The name holds the SHA-256 of the component and a digest of everything in the engine that compiled code depends on
//! (version, target, processor features, settings).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Files kept; the oldest go first.
const FILES_MAX: usize = 64;
const MAC_BYTES: usize = 32;

pub(super) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
    engine_digest: [u8; 32],
}

/// Why there is no cache.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    #[error("{} belongs to another user or is open to others", .0.display())]
    NotOurs(PathBuf),
    #[error("{} can't be used", .path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl Cache {
    /// Opens the cache in the folder `compiled` of `parent`, and makes what is missing of it.
    pub(super) fn open(parent: &Path, engine: &Engine) -> Result<Cache, CacheError> {
        let folder = parent.join("compiled");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| CacheError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(failed(&folder))?;
        let is_ours = |meta: &fs::Metadata, mode: u32| meta.uid() == user() && meta.mode() & 0o7777 & !mode == 0;
        let meta = fs::symlink_metadata(&folder).map_err(failed(&folder))?;
        if !meta.is_dir() || !is_ours(&meta, 0o700) {
            return Err(CacheError::NotOurs(folder));
        }
        let path = folder.join("key");
        if let Err(error) = fs::symlink_metadata(&path)
            && error.kind() == io::ErrorKind::NotFound
        {
            make_key(&folder, &path).map_err(failed(&path))?;
        }
        let (key, meta) = read(&path).map_err(failed(&path))?;
        if !is_ours(&meta, 0o600) {
            return Err(CacheError::NotOurs(path));
        }
        let key = key.try_into().map_err(|_| CacheError::NotOurs(path))?;
        Ok(Cache { folder, key, engine_digest: digest_of(engine.precompile_compatibility_hash()) })
    }

    fn name(&self, component: &[u8; 32]) -> String {
        format!("{}-{}", hex::encode(component), hex::encode(&self.engine_digest[..8]))
    }

    fn mac(&self, component: &[u8; 32], code: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length is right");
        mac.update(b"pelton compiled component 1");
        mac.update(component);
        mac.update(&self.engine_digest);
        mac.update(code);
        mac
    }

    /// Returns the compiled code of the component with that digest, if it was kept and is intact.
    pub(super) fn load(&self, engine: &Engine, component: &[u8; 32]) -> Option<Component> {
        let path = self.folder.join(self.name(component));
        let (bytes, _) = read(&path).ok()?;
        let (tag, code) = bytes.split_at_checked(MAC_BYTES)?;
        if self.mac(component, code).verify_slice(tag).is_err() {
            tracing::warn!(file = %path.display(), "a cached component is damaged or not ours; it is compiled anew");
            return None;
        }
        // SAFETY: `deserialize` asks for bytes that `Component::serialize` made and nobody changed. The MAC is right
        // under a key that only this module uses, on bytes that `store` got from `serialize`; see the module's doc.
        // It refuses bytes of another version or configuration of the engine by itself.
        let loaded = unsafe { Component::deserialize(engine, code) };
        loaded
            .inspect_err(|error| tracing::warn!(file = %path.display(), %error, "a cached component can't be loaded"))
            .ok()
    }

    /// Keeps compiled code. Whoever reads meanwhile sees the old file or the whole new one.
    pub(super) fn store(&self, component: &[u8; 32], compiled: &Component) {
        let path = self.folder.join(self.name(component));
        let written = compiled.serialize().map_err(|error| io::Error::other(error.to_string())).and_then(|code| {
            let tag = self.mac(component, &code).finalize().into_bytes();
            write_whole(&self.folder, &path, &[&tag, &code])
        });
        match written {
            Ok(()) => self.prune(),
            Err(error) => tracing::warn!(file = %path.display(), %error, "a compiled component can't be kept"),
        }
    }

    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<_> = entries
            .flatten()
            .filter(|entry| entry.file_name() != "key")
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        let surplus = files.len().saturating_sub(FILES_MAX);
        for (_, path) in files.drain(..surplus) {
            // Another process may have been faster.
            let _ = fs::remove_file(path);
        }
    }
}

fn read(path: &Path) -> io::Result<(Vec<u8>, fs::Metadata)> {
    let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let mut bytes = Vec::with_capacity(meta.len() as usize);
    file.read_to_end(&mut bytes)?;
    Ok((bytes, meta))
}

/// Writes a file of mode 0600 beside its place, then moves it there.
fn write_whole(folder: &Path, path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    for part in parts {
        file.write_all(part)?;
    }
    file.persist(path)?;
    Ok(())
}

fn make_key(folder: &Path, path: &Path) -> io::Result<()> {
    let mut key = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    file.write_all(&key)?;
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        // Another process made one at the same time; it is the one that counts.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
    }
}

/// Returns who we are.
fn user() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory and can't fail.
    unsafe { libc::geteuid() }
}

/// Returns a digest of all that `value` feeds to a hasher.
fn digest_of(value: impl Hash) -> [u8; 32] {
    struct Feed(Sha256);
    impl Hasher for Feed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update((bytes.len() as u64).to_le_bytes());
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut feed = Feed(Sha256::new());
    value.hash(&mut feed);
    feed.0.finalize().into()
}
