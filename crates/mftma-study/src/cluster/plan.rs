//! The graph of a study's stages, all of it, also where a training is not finished yet.
//!
//! What is measured of a training depends on where it ended and on which epoch was its best. A scheduler wants to know beforehand. So a
//! node of the plan is named either by its stage's key, where that follows from the settings alone, or by its *place*: the fourth geometry
//! of this training in figure 3. The plan holds as many places as there can be ([`Study::widest`]); once the training is finished, each
//! place has its stage, or none where training ended sooner. Names do not change while the study advances.

use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cache::{Space, Stage, Status, canonical, key};
use crate::estimate::{Cost, Rates};
use crate::experiment::Images;
use crate::figures::{Selection, Study};

/// Cores of a job where nobody names another number: the rates of estimates are those of two.
pub const CORES: u64 = 2;

/// A job's time limit is so many times its estimate \[D\]: rates were measured on two quiet cores of one machine.
pub const TIME_SAFETY: f64 = 3.0;

/// And no less than this many seconds \[D\].
pub const LEAST_SECONDS: f64 = 600.0;

/// A job's memory is so many times its estimate, and images and [`BASE_BYTES`] \[D\].
pub const MEMORY_SAFETY: f64 = 2.0;

/// What the program takes beside its arrays \[D\].
pub const BASE_BYTES: f64 = 512e6;

/// How far a node of the plan is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its output is in the store.
    Finished,
    /// It can run.
    Ready,
    /// What it builds on is not finished.
    Waits,
    /// It is not needed: training ended before.
    NotNeeded,
}

impl State {
    /// One word for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Ready => "ready",
            Self::Waits => "waits",
            Self::NotNeeded => "not-needed",
        }
    }

    /// Whether there is work to do, now or later.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Ready | Self::Waits)
    }
}

/// One job's worth of the study.
pub struct Node {
    /// Its name: 64 hexadecimal digits.
    pub id: String,
    /// The key of its stage in the widest plan: of its settings too, and the same before and after its training is finished.
    pub planned: String,
    /// Every name that it has: one for each figure that needs it.
    pub ids: Vec<String>,
    /// [`Stage::kind`].
    pub kind: &'static str,
    /// [`Stage::label`]; epochs are those of the plan until training is finished.
    pub label: String,
    /// The figures that need it.
    pub figures: Vec<String>,
    /// The places in the plan of what it builds on; all before its own.
    pub inputs: Vec<usize>,
    /// What it costs.
    pub cost: Cost,
    /// What it needs.
    pub space: Space,
    /// The images of all experiments of its figures: their checksums are in the names of stages, so that a job reads them all.
    pub images: Images,
    /// How far it is.
    pub state: State,
    /// Its stages, as far as they are known: one, for nearly every node.
    pub stages: Vec<Box<dyn Stage>>,
}

impl Node {
    /// Estimated seconds on two quiet cores; 0 where nothing is known.
    pub fn seconds(&self) -> f64 {
        match self.cost {
            Cost::Measured(seconds) | Cost::Stated(seconds) => seconds,
            Cost::Unknown => 0.0,
        }
    }

    /// Seconds that a job is given.
    pub fn limit_seconds(&self) -> f64 {
        (TIME_SAFETY * self.seconds()).max(LEAST_SECONDS)
    }

    /// Bytes of memory that a job is given.
    pub fn limit_bytes(&self) -> f64 {
        BASE_BYTES + self.images.bytes() + MEMORY_SAFETY * self.space.memory
    }
}

/// The whole graph, each node after its inputs.
pub struct Plan {
    /// The nodes.
    pub nodes: Vec<Node>,
}

impl Plan {
    /// The plan of some figures. The whole store is read: what is damaged is to be done again.
    pub fn of(study: &Study<'_>, figures: &[Selection]) -> Result<Self> {
        let finished = |stage: &dyn Stage| study.cache.examine(stage) == Status::Finished;
        Self::by(study, figures, Rates::of(study.cache), &finished)
    }

    /// The same for who does one node of it: by the records of stages, without costs. Many jobs that each read the whole store would stand
    /// in each other's way.
    pub fn by_records(study: &Study<'_>, figures: &[Selection]) -> Result<Self> {
        let finished = |stage: &dyn Stage| study.cache.is_finished(stage);
        Self::by(study, figures, Rates::none(), &finished)
    }

    fn by(
        study: &Study<'_>,
        figures: &[Selection],
        rates: Rates,
        finished: &dyn Fn(&dyn Stage) -> bool,
    ) -> Result<Self> {
        let mut made = Making {
            study,
            rates,
            finished,
            nodes: Vec::new(),
            places: HashMap::new(),
        };
        for figure in figures {
            made.add(figure)?;
        }
        Ok(Self { nodes: made.nodes })
    }

    /// The nodes that are yet to be done.
    pub fn open(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.state.is_open())
    }

    /// How many nodes are in a state.
    pub fn count(&self, state: State) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }

    /// Bytes that the open nodes will leave on the disk.
    pub fn disk(&self) -> f64 {
        self.open().map(|node| node.space.disk).sum()
    }

    /// Bytes of memory that the job which draws is given: it has the images of all figures.
    pub fn draw_bytes(&self) -> f64 {
        let mut images = Images::default();
        for node in &self.nodes {
            images.extend(&node.images);
        }
        4.0 * BASE_BYTES + images.bytes()
    }

    /// The node of a name, or of a stage's key; the first 12 digits are enough.
    pub fn find(&self, name: &str) -> Result<usize> {
        let digits = name.len() >= 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits {
            bail!(
                "{name:?} names no stage: give its 64 digits, at least 12 of them; `reproduce plan --format json` lists them"
            );
        }
        let names = |node: &Node| {
            let keys = node.stages.iter().map(|stage| key(stage.as_ref()));
            node.ids
                .iter()
                .cloned()
                .chain(keys)
                .any(|id| id.starts_with(name))
        };
        let found: Vec<usize> = (0..self.nodes.len())
            .filter(|&node| names(&self.nodes[node]))
            .collect();
        match found.as_slice() {
            [] => bail!(
                "no stage of these figures is called {name}: the profile, its flags or the program are others than when it was \
                 planned; plan or submit again"
            ),
            // A stage of several places: any of them does it.
            [first, ..] => Ok(*first),
        }
    }

    /// The plan as data: nodes in an order in which they can be done, and for each its command.
    pub fn to_json(&self, command: impl Fn(&Node) -> Vec<String>) -> Vec<Value> {
        let node = |node: &Node| {
            let keys: Vec<String> = node.stages.iter().map(|s| key(s.as_ref())).collect();
            let inputs: Vec<&str> = node
                .inputs
                .iter()
                .map(|&input| self.nodes[input].id.as_str())
                .collect();
            let (seconds, rests_on) = match node.cost {
                Cost::Measured(seconds) => (Some(seconds), "measured"),
                Cost::Stated(seconds) => (Some(seconds), "stated"),
                Cost::Unknown => (None, "unknown"),
            };
            json!({
                "id": node.id,
                "kind": node.kind,
                "label": node.label,
                "figures": node.figures,
                "state": node.state.name(),
                "keys": keys,
                "inputs": inputs,
                "estimate": {
                    "seconds": seconds,
                    "rests_on": rests_on,
                    "cores": CORES,
                    "memory_bytes": node.space.memory + node.images.bytes(),
                    "disk_bytes": node.space.disk,
                },
                "limits": {
                    "seconds": node.limit_seconds(),
                    "memory_bytes": node.limit_bytes(),
                },
                "command": command(node),
            })
        };
        self.nodes.iter().map(node).collect()
    }
}

/// A plan on its way.
struct Making<'a> {
    study: &'a Study<'a>,
    rates: Rates,
    finished: &'a dyn Fn(&dyn Stage) -> bool,
    nodes: Vec<Node>,
    /// Nodes by the key of their stage in the widest plan.
    places: HashMap<String, usize>,
}

/// What tells the stages of one figure apart, but for their order: the nodes that they build on, and their kind.
type Group = (Vec<usize>, &'static str);

impl Making<'_> {
    fn add(&mut self, figure: &Selection) -> Result<()> {
        let study = self.study;
        let stem = figure.stem();
        let (images, widest) = study.images_of(|| study.widest(|| figure.stages(study)));
        let widest = once(widest?);
        let mut counts: HashMap<Group, usize> = HashMap::new();
        for (key, stage) in widest {
            let inputs = self.inputs(stage.as_ref());
            if inputs.is_empty() {
                // It follows from the settings alone: this is the stage itself.
                let at = self.place(&key, stage.as_ref(), &stem, inputs, key.clone())?;
                self.give(at, stage);
                continue;
            }
            let count = counts.entry((inputs.clone(), stage.kind())).or_default();
            let id = self.name(&stem, &inputs, stage.kind(), *count);
            *count += 1;
            let at = self.place(&key, stage.as_ref(), &stem, inputs, id)?;
            if self.nodes[at].stages.is_empty() {
                self.nodes[at].state = State::Waits;
            }
        }
        // Their stages, where what they build on is finished.
        let mut counts: HashMap<Group, usize> = HashMap::new();
        for (key, stage) in once(figure.stages(study)?) {
            let inputs = self.inputs(stage.as_ref());
            let finished = |&input: &usize| self.nodes[input].state == State::Finished;
            if inputs.is_empty() || !inputs.iter().all(finished) {
                continue;
            }
            let count = counts.entry((inputs.clone(), stage.kind())).or_default();
            let id = self.name(&stem, &inputs, stage.kind(), *count);
            *count += 1;
            let at = match self.nodes.iter().position(|node| node.ids.contains(&id)) {
                Some(at) => at,
                // More than there can be: it is done all the same, under its own name.
                None => self.place(&key, stage.as_ref(), &stem, inputs, key.clone())?,
            };
            self.give(at, stage);
        }
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            if node.figures.contains(&stem) {
                node.images.extend(&images);
            }
            let node = &self.nodes[at];
            let finished = |&input: &usize| self.nodes[input].state == State::Finished;
            if !node.inputs.is_empty() && node.inputs.iter().all(finished) && node.stages.is_empty()
            {
                self.nodes[at].state = State::NotNeeded;
            }
        }
        Ok(())
    }

    /// The nodes that a stage builds on.
    fn inputs(&self, stage: &dyn Stage) -> Vec<usize> {
        let identity = stage.identity();
        let values = identity.inputs().values();
        let mut inputs: Vec<usize> = values
            .filter_map(|input| self.places.get(input).copied())
            .collect();
        inputs.sort_unstable();
        inputs
    }

    /// The name of a place.
    fn name(&self, stem: &str, inputs: &[usize], kind: &str, place: usize) -> String {
        let inputs: Vec<&str> = inputs.iter().map(|&i| self.nodes[i].id.as_str()).collect();
        let place = json!({"figure": stem, "inputs": inputs, "kind": kind, "place": place});
        blake3::hash(canonical(&place).as_bytes())
            .to_hex()
            .to_string()
    }

    /// The node of a stage of the widest plan, new or known, which has one more name now.
    fn place(
        &mut self,
        key: &str,
        stage: &dyn Stage,
        stem: &str,
        inputs: Vec<usize>,
        id: String,
    ) -> Result<usize> {
        let at = *self.places.entry(key.to_owned()).or_insert_with(|| {
            self.nodes.push(Node {
                id: id.clone(),
                planned: key.to_owned(),
                ids: Vec::new(),
                kind: stage.kind(),
                label: stage.label(),
                figures: Vec::new(),
                inputs,
                cost: self.rates.cost(stage),
                space: stage.space(),
                images: Images::default(),
                state: State::Ready,
                stages: Vec::new(),
            });
            self.nodes.len() - 1
        });
        let node = self.nodes.get_mut(at).context("a place without a node")?;
        if !node.ids.contains(&id) {
            node.ids.push(id);
        }
        if !node.figures.iter().any(|figure| figure == stem) {
            node.figures.push(stem.to_owned());
        }
        Ok(at)
    }

    /// Gives a node a stage that is known now.
    fn give(&mut self, at: usize, stage: Box<dyn Stage>) {
        let wanted = key(stage.as_ref());
        let node = &mut self.nodes[at];
        if node
            .stages
            .iter()
            .any(|known| key(known.as_ref()) == wanted)
        {
            return;
        }
        let finished = (self.finished)(stage.as_ref());
        node.state = match (node.stages.is_empty(), node.state, finished) {
            (true, _, true) | (false, State::Finished, true) => State::Finished,
            _ => State::Ready,
        };
        if node.stages.is_empty() {
            node.label = stage.label();
            node.cost = self.rates.cost(stage.as_ref());
        }
        node.stages.push(stage);
    }
}

/// Stages with their keys, each once.
fn once(stages: Vec<Box<dyn Stage>>) -> Vec<(String, Box<dyn Stage>)> {
    let mut seen = std::collections::HashSet::new();
    stages
        .into_iter()
        .map(|stage| (key(stage.as_ref()), stage))
        .filter(|(key, _)| seen.insert(key.clone()))
        .collect()
}
