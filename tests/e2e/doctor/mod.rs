//! `pelton doctor`: each rule has a case that provokes it, and shows that what it says mends it.
//!
//! The cases are files of SQL, in `cases`; [`case`] says how they read.

mod agree;
mod case;
mod command;
mod event_store;
mod migrations;
mod providers;
mod proxy;

macro_rules! cases {
    ($($name:ident)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                case::run(stringify!($name), include_str!(concat!("cases/", stringify!($name), ".sql"))).await;
            }
        )*

        /// No file is left out by mistake.
        #[test]
        fn every_case_is_run() {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/doctor/cases");
            let mut files: Vec<String> = std::fs::read_dir(folder)
                .expect("the cases")
                .map(|file| file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort();
            assert_eq!(files, run);
        }
    };
}

cases! {
    advice_of_a_fresh_server
    destination_makes_its_table
    destination_migrations_of_a_newer_version
    destination_migrations_tampered
    destination_read_only
    destination_role_with_nothing
    destination_role_without_a_right
    destination_row_security
    destination_table_differs
    destination_table_missing
    generated_column
    nothing_amiss
    partition_without_identity
    provider_by_setting
    publication_columns
    publication_is_gone
    publication_lacks_a_table
    publication_of_a_partition
    publication_of_a_schema
    publication_of_our_own
    publication_of_pelton_grows
    publication_operations
    publication_row_filter
    publication_without_root
    role_for_all_tables
    role_that_reads_all_data
    role_with_nothing
    role_without_replication
    role_without_select
    role_without_usage
    row_security
    sender_timeout_off
    slot_idle_timeout
    slot_is_gone
    slot_is_lost
    slot_limits
    slot_of_somebody_else
    slot_older_than_its_publication
    slot_without_failover
    table_inherited
    table_missing
    table_of_another_kind
    table_unlogged
    table_with_a_unique_index
    table_with_deferrable_key
    table_with_identity_nothing
    table_without_key
    tables_made_later
    wal_level
}
