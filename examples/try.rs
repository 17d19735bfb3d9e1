use applbuild::medium::{Input, Root, lay_out};
use applbuild::progress::{Progress, Stage, Unit};
use appliance_contract::manifest::{Program, Verity};
use std::path::Path;
struct Say;
impl Progress for Say {
    fn stage(&self, s: Stage, _: u64, _: Unit) {
        println!("stage {}", s.name())
    }
    fn advance(&self, _: u64) {}
    fn item(&self, n: &str) {
        println!("{:?} item {n}", std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap())
    }
    fn warn(&self, n: &str) {
        println!("warn {n}")
    }
}
fn main() {
    if let Some(code) = applbuild::sandbox::dispatch() {
        std::process::exit(if code == std::process::ExitCode::SUCCESS { 0 } else { 1 });
    }
    applbuild::sandbox::enter_user_namespace().unwrap();
    let out = std::env::args().nth(1).unwrap();
    let profile = applbuild::profile::Library::new(Path::new("/nonexistent")).load("host").unwrap();
    let tree = applbuild::tree::Tree::from_folder(Path::new("/tmp/material/root")).unwrap();
    let text = std::fs::read_to_string("/tmp/work-medium/verity.txt").unwrap();
    let get = |k: &str| text.lines().find_map(|l| l.strip_prefix(k)).unwrap().trim().to_owned();
    let size: u64 = text.lines().last().unwrap().parse().unwrap();
    let verity = Verity {
        uuid: get("UUID:"),
        salt: get("Salt:"),
        root_hash: get("Root hash:"),
        hash_offset: size,
        data_blocks: size / 4096,
    };
    let lock = applbuild::packages::Lock {
        schema: appliance_contract::Schema::CURRENT,
        profile: "host".into(),
        architecture: "amd64".into(),
        request: String::new(),
        date: 0,
        suites: vec![],
        packages: vec![],
        tools: vec![],
    };
    let agent = applbuild::embedded::AGENT;
    let medium = lay_out(
        Input {
            profile: &profile,
            version: &profile.version,
            lock: &lock,
            lock_sha256: [1; 32],
            source_date: 1_790_000_000,
            tree: &tree,
            root: Root::Squashfs { file: Path::new("/tmp/work-medium/root.img"), verity: &verity },
            agent: Some(agent),
            program: Program { version: "0".into(), sha256: "0".into() },
            tools: Path::new("/tmp/work-medium/tools"),
            templates: None,
            output: Path::new(&out),
        },
        &Say,
    )
    .unwrap();
    println!(
        "{} {} {} {} initramfs {:?}",
        medium.path.display(),
        medium.size,
        medium.uuid,
        medium.sha256.iter().map(|b| format!("{b:02x}")).collect::<String>(),
        medium.initramfs_size
    );
}
