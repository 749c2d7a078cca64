//! Wrong input, tried as a user would: the program is run, and says what happened, where, and what to do next; its exit
//! code tells what a script may do; and once the cause is mended it goes on, with nothing lost.

mod components;
mod destination;
mod guests;
mod manifests;
mod outage;
mod source;

// Guests by hand: no toolchain for WebAssembly is needed for a bad one.
use crate::guest;
use crate::support::{Database, Pelton};

/// `CREATE TABLE public.t` as the guests by hand know it.
const TABLE: &str = "CREATE TABLE public.t (id bigint PRIMARY KEY, v text NOT NULL)";

/// A manifest of one flow, from `public.t` to `public.t`.
#[derive(Clone)]
struct Flow {
    /// Names the manifest, its source and its slot.
    slug: String,
    source: String,
    sink: String,
    /// The public schema's `config`.
    public: String,
    /// Of the consumer schema.
    table: String,
    create_table: bool,
}

impl Flow {
    /// A flow without code, into a table that is made.
    fn new(source: &Database, sink: &Database) -> Flow {
        Flow {
            slug: source.name().replace('_', "-"),
            source: source.url(),
            sink: sink.url(),
            public: "{ publicSchemaType: table, table: public.t }".to_owned(),
            table: "public.t".to_owned(),
            create_table: true,
        }
    }

    /// A flow between databases that nobody asks for.
    fn nowhere() -> Flow {
        Flow {
            slug: "shop".to_owned(),
            source: "postgres://pelton@127.0.0.1:1/none".to_owned(),
            sink: "postgres://pelton@127.0.0.1:1/other".to_owned(),
            public: "{ publicSchemaType: table, table: public.t }".to_owned(),
            table: "public.t".to_owned(),
            create_table: true,
        }
    }

    fn yaml(&self) -> String {
        let Flow { slug, source, sink, public, table, create_table } = self;
        let slot = self.slot();
        format!(
            "slug: {slug}
manifestVersion: 0
connections:
  - {{ slug: {slug}, config: {{ connectionType: postgres, url: \"{source}\" }} }}
  - {{ slug: sink, config: {{ connectionType: postgres, url: \"{sink}\" }} }}
dataStores:
  - connectionSlug: {slug}
    config: {{ connectionType: postgres, slotName: {slot}, publicationName: {slot} }}
  - connectionSlug: sink
publicSchemas:
  - name: t
    version: {{ major: 1, minor: 0 }}
    source: {{ dataStoreSlug: {slug} }}
    config: {public}
consumerSchemas:
  - name: t
    sourceManifestSlug: {slug}
    publicSchema: {{ name: t, majorVersion: 1 }}
    config: {{ consumerSchemaType: table, destinationDataStoreSlug: sink, table: {table}, createTable: {create_table} }}
"
        )
    }

    /// The slot's and the publication's name.
    fn slot(&self) -> String {
        self.slug.replace('-', "_")
    }

    /// `pelton ARGUMENTS…` beside this manifest.
    fn pelton<const N: usize>(&self, arguments: [&str; N]) -> Pelton {
        Pelton::new(arguments).file("pelton.yaml", self.yaml())
    }

    /// Runs `pelton sync --until-caught-up` to its end, which must be a good one.
    async fn syncs(&self) {
        succeeds(&mut self.pelton(["sync", "--until-caught-up"])).await;
    }

    /// Runs it to its end, which must be what the user can mend; each of `parts` must be said, and a hint.
    async fn refuses(&self, parts: &[&str]) {
        fails(&mut self.pelton(["sync", "--until-caught-up"]), 1, parts).await;
    }

    /// `pelton status` says all of this, and exits with 1.
    async fn status_says(&self, parts: &[&str]) {
        fails(&mut self.pelton(["status"]), 1, parts).await;
    }
}

#[track_caller]
fn succeeds(pelton: &mut Pelton) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let status = pelton.run().await;
        assert!(status.success(), "at {caller}: it ended with {status}");
    }
}

/// Runs a command, which must end with this exit code and say these parts, a hint among them.
#[track_caller]
fn fails(pelton: &mut Pelton, code: i32, parts: &[&str]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let status = pelton.run().await;
        let said = format!("{}{}", pelton.stdout(), pelton.stderr());
        assert_eq!(status.code(), Some(code), "at {caller}: {said}");
        for part in parts {
            assert!(said.contains(part), "at {caller}: `{part}` was not said\n{said}");
        }
        let hint = if code == 2 { "--help" } else { "Hint: " };
        assert!(said.contains(hint), "at {caller}: no hint\n{said}");
        assert!(!said.contains("panicked at src"), "at {caller}: {said}");
    }
}
