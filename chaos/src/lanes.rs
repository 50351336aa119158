//! Scenarios beside each other: each lane is this program again, in a network of its own, with some of
//! the scenarios. For the short form, whose load leaves room; figures are better taken one by one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};

use crate::{Fault, row};

/// Runs these scenarios in so many lanes; 0 if every lane met its goals.
pub(crate) fn run(names: &[&str], lanes: usize, options: &[String]) -> Result<ExitCode, Fault> {
    let own = std::env::current_exe()?;
    let mut children = Vec::new();
    for lane in 0..lanes {
        // In turn: neighbours in the list take about as long.
        let mine = names.iter().skip(lane).step_by(lanes);
        let mut command = Command::new(&own);
        command.args(options).args(["--lanes", "1"]).args(mine).stdout(Stdio::piped());
        children.push(command.spawn()?);
    }
    row::print_heading();
    let mut readers = Vec::new();
    for child in &mut children {
        let output = child.stdout.take().ok_or("a lane tells nothing")?;
        readers.push(std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            // Headings and sums are each lane's own.
            for line in lines.filter(|line| !row::is_frame(line)) {
                println!("{line}");
            }
        }));
    }
    for reader in readers {
        let _ = reader.join();
    }
    let succeeded = |child: &mut Child| child.wait().is_ok_and(|status| status.success());
    let missed = children.iter_mut().map(succeeded).filter(|kept| !kept).count();
    Ok(if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
