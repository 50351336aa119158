//! The demo's live view: draws, and listens to the keyboard. What it shows is read elsewhere.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use evenkeel_runtime::now;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};
use ratatui::{DefaultTerminal, Frame};

use super::board::{LANES, NAMES};
use super::figures::{Figures, Lane, Summary, Window, show_latency};
use super::{Board, Show};
use crate::failure::{Exit, Failure};
use crate::terminal;

/// How often the view is drawn.
const FRAME: Duration = Duration::from_millis(100);
/// Columns of a row of the table without its bar, and with three statuses.
const ROW_WIDTH: usize = 70;
/// Statuses shown of each server.
const STATUSES: usize = 6;
const COLOURS: [Color; LANES] = [Color::Red, Color::Green, Color::Blue];

/// Shows the view until it is over; the terminal is as before afterwards, even after a panic.
pub(super) fn show(show: &Show<'_>) -> Result<(), Failure> {
    let has_colour = terminal::has_colour(&io::stdout());
    let mut screen = ratatui::init();
    let shown = animate(&mut screen, show, has_colour);
    ratatui::restore();
    shown
}

fn animate(screen: &mut DefaultTerminal, show: &Show<'_>, has_colour: bool) -> Result<(), Failure> {
    let cannot = |e: io::Error| Failure::new(Exit::Runtime, format!("the terminal: {e}"));
    let start = now();
    let mut window = Window::default();
    while !show.is_over(now().duration_since(start), Duration::ZERO)? {
        let moment = now();
        let summary = window.look(moment, Figures::read(show.running));
        let scene = Scene { show, summary, start, moment, has_colour };
        screen.draw(|frame| scene.draw(frame)).map_err(cannot)?;
        while event::poll((moment + FRAME).saturating_duration_since(now())).map_err(cannot)? {
            if let Event::Key(key) = event::read().map_err(cannot)?
                && obey(key, &show.board)
            {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Does what a key asks; `true` if that is to end. In this mode Ctrl-C is a key, not a signal.
fn obey(key: KeyEvent, board: &Board) -> bool {
    if key.kind != KeyEventKind::Press {
        return false;
    }
    match key.code {
        KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char('q') | KeyCode::Esc => return true,
        KeyCode::Char('1') => board.toggle_slow(0),
        KeyCode::Char('2') => board.toggle_slow(1),
        KeyCode::Char('3') => board.toggle_slow(2),
        _ => {}
    }
    false
}

/// One picture.
struct Scene<'s> {
    show: &'s Show<'s>,
    summary: Summary,
    start: Instant,
    moment: Instant,
    has_colour: bool,
}

impl Scene<'_> {
    fn draw(&self, frame: &mut Frame<'_>) {
        let heights = [
            Constraint::Length(3),
            Constraint::Length(6),
            Constraint::Min(3),
            Constraint::Length(2),
        ];
        let [top, servers, recent, bottom] = Layout::vertical(heights).areas(frame.area());
        frame.render_widget(self.totals(), top);
        frame.render_widget(self.servers(servers), servers);
        frame.render_widget(self.recent(recent), recent);
        frame.render_widget(self.hints(), bottom);
    }

    fn totals(&self) -> Paragraph<'_> {
        let address = self.show.address;
        let (summary, board) = (&self.summary, &self.show.board);
        let title = format!("Evenkeel balances http://{address} over three servers");
        let totals = format!(
            "{:.0} requests/s   {} requests   {} failed   running for {} s",
            summary.rate,
            summary.requests,
            board.failed.load(Relaxed),
            self.moment.duration_since(self.start).as_secs(),
        );
        Paragraph::new(vec![Line::styled(title, bold()), Line::raw(totals)])
    }

    fn servers(&self, area: Rect) -> Paragraph<'_> {
        let bar = usize::from(area.width).saturating_sub(ROW_WIDTH).clamp(10, 24);
        let head = format!(
            "  {:<7}{:<width$}{:>6}{:>10}{:>11}{:>9}{:>9}   last statuses",
            "",
            "share",
            "",
            "requests",
            "in flight",
            "p50",
            "p99",
            width = bar
        );
        let mut lines = vec![Line::styled(head, self.dim())];
        for (place, lane) in self.summary.lanes.iter().enumerate() {
            lines.push(self.server(place, lane, bar));
        }
        Paragraph::new(lines)
            .block(Block::new().borders(Borders::TOP).title(" Servers over the last 10 s "))
    }

    fn server(&self, place: usize, lane: &Lane, bar: usize) -> Line<'_> {
        let name = NAMES.get(place).copied().unwrap_or_default();
        let filled = ((lane.share * bar as f64).round() as usize).min(bar);
        let numbers = format!(
            "{:>4.0} %{:>10}{:>11}{:>9}{:>9}   ",
            lane.share * 100.0,
            lane.requests,
            lane.in_flight,
            show_latency(lane.p50),
            show_latency(lane.p99),
        );
        let mut spans = vec![
            Span::styled(format!("● {name:<7}"), self.colour(place)),
            Span::styled("█".repeat(filled), self.colour(place)),
            Span::styled("░".repeat(bar - filled), self.dim()),
            Span::raw(numbers),
        ];
        if self.show.board.is_slow(place) {
            spans.push(Span::styled("made slow ", bold()));
        }
        spans.extend(self.statuses(place));
        Line::from(spans)
    }

    fn statuses(&self, place: usize) -> Vec<Span<'static>> {
        let recent = self.show.board.recent();
        let own = recent.iter().filter(|recent| recent.lane == place).take(STATUSES);
        own.map(|recent| Span::styled(format!("{} ", recent.status), self.status(recent.status)))
            .collect()
    }

    fn recent(&self, area: Rect) -> Paragraph<'_> {
        let rows = usize::from(area.height.saturating_sub(1));
        let mut lines = Vec::new();
        for recent in self.show.board.recent().iter().take(rows) {
            let ago = self.moment.saturating_duration_since(recent.at).as_secs_f64();
            let name = NAMES.get(recent.lane).copied().unwrap_or_default();
            let style = if recent.own { Style::new() } else { bold() };
            let whose = if recent.own { "" } else { "  yours" };
            lines.push(Line::from(vec![
                Span::styled(format!("{ago:>5.1} s ago  "), self.dim()),
                Span::styled(format!("{name:<7}"), self.colour(recent.lane)),
                Span::styled(format!("{} ", recent.status), self.status(recent.status)),
                Span::styled(format!("{:>8}  ", show_latency(Some(recent.took))), self.dim()),
                Span::styled(format!("{}{whose}", recent.request), style),
            ]));
        }
        Paragraph::new(lines).block(Block::new().borders(Borders::TOP).title(" Requests "))
    }

    fn hints(&self) -> Paragraph<'_> {
        let address = self.show.address;
        Paragraph::new(vec![
            Line::from(vec![
                Span::styled(format!("try: curl -i http://{address}/"), bold()),
                Span::raw("    also: /item/17  /fixed  /old/page  /status/503"),
            ]),
            Line::styled(
                "1 2 3: make a server slow, or fast again    q or Ctrl-C: end",
                self.dim(),
            ),
        ])
    }

    fn colour(&self, place: usize) -> Style {
        let colour = COLOURS.get(place).copied().filter(|_| self.has_colour);
        colour.map_or(Style::new(), |colour| Style::new().fg(colour))
    }

    fn status(&self, status: u16) -> Style {
        match status {
            500.. if self.has_colour => Style::new().fg(Color::Red),
            400.. if self.has_colour => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        }
    }

    fn dim(&self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}
