//! A plan for people: what there is to do, and how long it takes on how many machines.

use std::collections::BTreeMap;
use std::io::Write;

use super::plan::{CORES, Node, Plan, State};
use super::wall::{Piece, critical, wall};
use crate::estimate::{Cost, Total};
use crate::record::{duration, size};

/// More machines no longer help once the time is within this of the longest chain's \[D\].
const NEAR: f64 = 1.05;

/// Prints it.
pub fn print(plan: &Plan, profile: &str, machines: &[usize], to: &mut dyn Write) {
    let open = plan.open().count();
    say!(
        to,
        "{profile}: {} stages at most, {} finished, {open} to do",
        plan.nodes.len() - plan.count(State::NotNeeded),
        plan.count(State::Finished)
    );
    if open == 0 {
        return;
    }
    kinds(plan, to);
    let mut total = Total::default();
    plan.open().for_each(|node| total.add(node.cost));
    say!(to, "to do: {total}");
    say!(to, "disk: about {} more", size(plan.disk() as u64));
    let (pieces, places) = pieces(plan);
    let chain = critical(&pieces);
    let longest: f64 = chain.iter().map(|&at| pieces[at].0).sum();
    say!(
        to,
        "time by plan, on machines of {CORES} cores that do nothing else:"
    );
    for &count in machines {
        let time = wall(&pieces, count);
        say!(to, "  {count:>5}  {}", duration(time));
    }
    say!(
        to,
        "never less than {}, its longest chain:",
        duration(longest)
    );
    for &at in &chain {
        let node = &plan.nodes[places[at]];
        say!(
            to,
            "  {:<9} {:<62} {}",
            node.kind,
            node.label,
            duration(pieces[at].0)
        );
    }
    if let Some(enough) = enough(&pieces, NEAR * longest) {
        say!(
            to,
            "with {enough} machines it is within {:.0} % of that: more do not help, for one stage is one job and these follow one another",
            100.0 * (NEAR - 1.0)
        );
    }
}

/// What is to do, as pieces of work, and the node of each.
fn pieces(plan: &Plan) -> (Vec<Piece>, Vec<usize>) {
    let places: Vec<usize> = (0..plan.nodes.len())
        .filter(|&at| plan.nodes[at].state.is_open())
        .collect();
    let piece = |&at: &usize| {
        let node = &plan.nodes[at];
        let inputs = node.inputs.iter();
        let inputs = inputs.filter_map(|input| places.binary_search(input).ok());
        (node.seconds(), inputs.collect())
    };
    (places.iter().map(piece).collect(), places)
}

/// The fewest machines on which the time is no more than `limit`.
fn enough(pieces: &[Piece], limit: f64) -> Option<usize> {
    let (mut few, mut many) = (0, pieces.len());
    if wall(pieces, many) > limit {
        return None;
    }
    while many - few > 1 {
        let middle = few.midpoint(many);
        if wall(pieces, middle) > limit {
            few = middle;
        } else {
            many = middle;
        }
    }
    Some(many)
}

/// A line for each kind of stage.
fn kinds(plan: &Plan, to: &mut dyn Write) {
    let mut kinds: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in plan.open() {
        kinds.entry(node.kind).or_default().push(node);
    }
    say!(
        to,
        "  kind        to do  all together       longest  most memory of a job"
    );
    for (kind, nodes) in kinds {
        let seconds = nodes.iter().map(|node| node.seconds());
        let known = nodes.iter().all(|node| node.cost != Cost::Unknown);
        let memory = nodes
            .iter()
            .map(|node| node.limit_bytes())
            .fold(0.0, f64::max);
        say!(
            to,
            "  {kind:<10} {:>6} {:>13} {:>13} {:>21}{}",
            nodes.len(),
            duration(seconds.clone().sum()),
            duration(seconds.fold(0.0, f64::max)),
            size(memory as u64),
            if known {
                ""
            } else {
                "  (some costs are not known)"
            }
        );
    }
}
