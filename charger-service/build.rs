//! Has cargo notice a new migration, which `sqlx::migrate!` by itself does not.

fn main() {
    println!("cargo:rerun-if-changed=../migrations/ocpp");
}
