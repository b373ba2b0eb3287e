//! Makes sure that the folder of the built pages exists, so that the hub builds without Node.

fn main() {
    let dist = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../web/dist");
    if !dist.exists() {
        std::fs::create_dir_all(&dist).ok();
    }
    println!("cargo:rerun-if-changed={}", dist.display());
}
