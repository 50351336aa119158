//! The command line as a script sees it: exit codes, what goes to which stream, and what the
//! messages say about typical mistakes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SOUND: &str = "\
listeners: { web: { bind: 127.0.0.1:0 } }
pools: { app: { servers: [127.0.0.1:3001, 127.0.0.1:3002] } }
routes: [ { to: app } ]
";

/// Where the workspace begins.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn evenkeel() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
    command.current_dir(env!("CARGO_TARGET_TMPDIR")).env_remove("EVENKEEL_LOG");
    command
}

fn run(arguments: &[&str]) -> Output {
    evenkeel().args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// Runs with `text` on standard input.
fn feed(arguments: &[&str], text: &str) -> Output {
    let mut child = evenkeel()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code, not a signal")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What is said about a file; what is said about the machine that it is checked on is another matter.
fn about_the_file(output: &Output) -> String {
    let told = stderr(output);
    told.lines().filter(|line| !line.starts_with("advice: ")).collect()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_version_and_the_help_are_on_standard_output() {
    let version = run(&["--version"]);
    assert_eq!((code(&version), stderr(&version).as_str()), (0, ""));
    assert!(stdout(&version).starts_with("evenkeel "));
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    for word in ["run", "check", "demo", "schema", "completions", "Exit codes", "78"] {
        assert!(stdout(&help).contains(word), "{word} is missing from the help");
    }
}

#[test]
fn a_wrong_command_line_is_2() {
    for wrong in [
        &["rum"][..],
        &["run", "--workers", "0"],
        &["run", "--listen", "127.0.0.1:8080", "--config"],
        &["run", "-c", "x.yaml", "--to", "http://127.0.0.1:1"],
        &["check"],
        &["demo", "--listen", "nowhere"],
    ] {
        let output = run(wrong);
        assert_eq!(code(&output), 2, "{wrong:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty(), "{wrong:?}");
    }
}

#[test]
fn a_sound_configuration_is_0_and_summarised() {
    let output = feed(&["check", "-"], SOUND);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let summary = stdout(&output);
    assert!(summary.contains("1 listener, 1 route, 1 pool, 2 servers"), "{summary}");
    assert!(summary.contains("in order of precedence"), "{summary}");
    assert_eq!(about_the_file(&output), "");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_a_suggestion() {
    let text = SOUND.replace("servers:", "blance: random, servers:").replace("to: app", "to: ap");
    let output = feed(&["check", "-"], &text);
    assert_eq!(code(&output), 78);
    assert!(stdout(&output).is_empty());
    let told = stderr(&output);
    for part in ["<stdin>:2:", "<stdin>:3:", "`blance`", "`balance`", "`ap`", "`app`", "^^^"] {
        assert!(told.contains(part), "{part} is missing from:\n{told}");
    }
    assert!(!told.contains('\u{1b}'), "colour without a terminal:\n{told}");
}

#[test]
fn mistakes_are_json_on_request() {
    let output = feed(&["check", "-", "--json"], &SOUND.replace("to: app", "to: ap"));
    assert_eq!(code(&output), 78);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told.to_string().contains("ap"), "{told}");
    let sound = feed(&["check", "-", "--json"], SOUND);
    assert_eq!(code(&sound), 0);
    serde_json::from_slice::<serde_json::Value>(&sound.stdout).unwrap();
}

#[test]
fn the_effective_configuration_is_sound_and_its_own_effective_configuration() {
    let once = stdout(&feed(&["check", "-", "--effective"], SOUND));
    assert!(once.contains("p2c_ewma"), "defaults are filled in:\n{once}");
    let again = feed(&["check", "-", "--effective"], &once);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    assert_eq!(stdout(&again), once);
}

#[test]
fn a_missing_or_empty_place_is_78_and_named() {
    let missing = run(&["check", "no-such.yaml"]);
    assert_eq!(code(&missing), 78);
    assert!(stderr(&missing).contains("no-such.yaml"), "{}", stderr(&missing));
    let directory = scratch("empty");
    let empty = run(&["check", directory.to_str().unwrap()]);
    assert_eq!(code(&empty), 78);
    assert!(stderr(&empty).contains("*.yaml"), "{}", stderr(&empty));
}

#[test]
fn the_files_of_a_directory_are_one_configuration() {
    let directory = scratch("parts");
    let mut lines = SOUND.lines();
    for name in ["10-listeners.yaml", "20-pools.yml", "30-routes.json"] {
        let line = match name.ends_with("json") {
            true => r#"{ "routes": [ { "to": "app" } ] }"#,
            false => lines.next().unwrap(),
        };
        std::fs::write(directory.join(name), line).unwrap();
    }
    std::fs::write(directory.join("README.md"), "not read").unwrap();
    std::fs::write(directory.join(".hidden.yaml"), "not: read").unwrap();
    let output = run(&["check", directory.to_str().unwrap()]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("2 servers"));
}

#[test]
fn without_any_configuration_the_message_shows_one() {
    let directory = scratch("nothing");
    let output = evenkeel().arg("run").current_dir(directory).output().unwrap();
    assert_eq!(code(&output), 78);
    let told = stderr(&output);
    assert!(told.contains("listeners: {") && told.contains("--to"), "{told}");
}

#[test]
fn a_wrong_target_is_78() {
    let output = run(&["run", "--to", "ftp://127.0.0.1:3001"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("ftp"), "{}", stderr(&output));
}

#[test]
fn a_taken_address_is_69_and_the_message_says_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["run", "--listen", &address, "--to", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 69, "{}", stderr(&output));
    assert!(stderr(&output).contains(&address) && stderr(&output).contains("help: "));
    let demo = run(&["demo", "--plain", "--listen", &address]);
    assert_eq!(code(&demo), 69, "{}", stderr(&demo));
    assert!(stderr(&demo).contains("--listen"), "{}", stderr(&demo));
}

#[test]
fn the_schema_is_a_json_schema_that_knows_every_top_level_key() {
    let output = run(&["schema"]);
    assert_eq!(code(&output), 0);
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(schema["$schema"].as_str().unwrap().contains("2020-12"));
    for key in ["workers", "shutdown", "listeners", "routes", "pools", "policies"] {
        assert!(
            schema["$defs"]["configuration"]["properties"][key].is_object(),
            "{key} is missing"
        );
    }
}

#[test]
fn completions_exist_for_every_usual_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("evenkeel"), "{shell}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child =
        evenkeel().arg("reference").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), stderr(&output).as_str()), (0, ""));
}

#[test]
fn the_reference_in_the_docs_is_fresh() {
    let committed = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let fresh = stdout(&run(&["reference"]));
    assert!(committed == fresh, "docs/configuration.md is stale: `make docs` writes it anew");
}

#[test]
fn every_example_passes_without_a_warning() {
    let mut count = 0;
    // Certificates that an example names are made as its comment says.
    let place = scratch("examples");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(arguments).current_dir(&place).output().unwrap()
    };
    let names = ["shop.example", "*.shop.example"];
    let made =
        run(&[&["cert", "self-signed", "--out", "target/example-certs"], &names[..]].concat());
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    for entry in
        std::fs::read_dir(root().join("examples").canonicalize().unwrap()).unwrap().flatten()
    {
        let output = run(&["check", entry.path().to_str().unwrap()]);
        let told = about_the_file(&output);
        assert!(code(&output) == 0 && told.is_empty(), "{}:\n{told}", entry.path().display());
        count += 1;
    }
    assert!(count >= 9, "only {count} examples");
}

#[test]
fn the_configuration_in_the_readme_passes() {
    for page in ["README.md", "docs/getting-started.md"] {
        let text = std::fs::read_to_string(root().join(page)).unwrap();
        let mut found = 0;
        for block in text.split("```yaml\n").skip(1) {
            let yaml = block.split("```").next().unwrap();
            let output = feed(&["check", "-"], yaml);
            assert_eq!(code(&output), 0, "{page}:\n{yaml}\n{}", stderr(&output));
            found += 1;
        }
        assert!(found > 0, "{page} shows no configuration");
    }
}

/// An empty directory of this test's own.
fn scratch(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("cli-{name}"));
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory).unwrap();
    directory
}
