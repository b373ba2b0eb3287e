//! The demo nation: a synthetic country from a seed and an anchor date, byte for byte the same wherever it is made.
//!
//! **What it is.** A pure generator: persons with families, households, names, addresses and identity histories; health
//! personnel; organisations with communication parties; GP lists; what happened before the story's day; and the story
//! itself as data. The fixed people of the story are the same in every nation, the background differs by seed.
//!
//! **What it deliberately does not know.** Storage, network, clock, messages, certificates, the hub. It makes values; others
//! turn them into register rows, messages and logins.
//!
//! **Read first.** [`Nation::generate`], [`model::Person`], [`Nation::persons`] (streams; nothing is held),
//! [`history::of`] and [`story::BLOKK`].
//!
//! **Invariants** (tests in `tests/`): no identity number twice; age groups as in the table of weights; nobody under 18 lives
//! alone; parents are 16 or more years older; every resident is on one GP list; a strictly confidential person has no
//! address anywhere. A background cell can be made without any other ([`Nation::cell`]).
//!
//! **Where its rules come from.** The story's own chapters on identifiers, people, organisations and the statistical nation.
//! Every person is invented; every identity number is of a synthetic series (month +80, help numbers 83 and 84).

mod background;
mod cast;
pub mod folkeregister;
pub mod history;
pub mod model;
pub mod population;
mod rng;
pub mod story;

use codes::ident::{HprNumber, Nin};
use jiff::civil::Date;

use background::births::Births;
use background::naming::Naming;
use background::organisations::{Builder, Directory};
use background::plan::{Demography, FIRST_BACKGROUND, Places, STRIDE};
use background::staff::Staff;
use cast::Cast;
use rng::Stream;

pub use model::{GpList, Organisation, Person, PersonId, Practitioner};

/// What a nation is made from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Params {
    /// Changes everybody but the fixed people.
    pub seed: u64,
    /// The story's day D.
    pub anchor: Date,
    /// Living residents, fixed people included. Below about 1 000 some promises of the statistical nation cannot hold.
    pub population: usize,
}

impl Default for Params {
    /// The nation of the documentation and the tests: seed 1, anchor 2026-11-23, 2 000 persons.
    fn default() -> Self {
        Self {
            seed: 1,
            anchor: Date::constant(2026, 11, 23),
            population: 2_000,
        }
    }
}

/// Largest population: more would not fit into the number series of a birth date.
pub const MAX_POPULATION: usize = 8_000_000;

/// Why a nation could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NationError {
    /// The anchor lies outside the years in which the story's people make sense.
    #[error("the anchor date must lie between 2024-01-01 and 2037-12-31")]
    Anchor,
    /// Too many persons.
    #[error("the population must be at most {MAX_POPULATION}")]
    Population,
}

/// A nation: its fixed people and its organisations at hand, the background to be made on demand.
pub struct Nation {
    params: Params,
    cast: Cast,
    demography: Demography,
    places: Places,
    births: Births,
    naming: Naming,
    staff: Staff,
    directory: Directory,
    /// Of 10 000 background persons of Tromsø and Karasjok, how many the fixed GP lists take.
    fixed_lists_share: [(&'static str, u64); 2],
}

/// One cell of the background.
#[derive(Clone, Debug)]
pub struct Cell {
    /// About a thousand persons, and a few who died within the last year.
    pub persons: Vec<Person>,
    /// Those of them who are health personnel.
    pub practitioners: Vec<Practitioner>,
}

impl Nation {
    /// Makes the nation: the fixed people, all organisations and GP lists, and the plan of the background.
    ///
    /// # Errors
    /// [`NationError`] when the parameters are out of range.
    pub fn generate(params: &Params) -> Result<Self, NationError> {
        if !(2024..=2037).contains(&params.anchor.year()) {
            return Err(NationError::Anchor);
        }
        if params.population > MAX_POPULATION {
            return Err(NationError::Population);
        }
        let mut cast = Cast::build(params.anchor)?;
        let residents = cast.persons.iter().filter(|p| p.is_resident()).count();
        let background = params.population.saturating_sub(residents);
        let demography = Demography::new(background);
        let places = Places::new(params.population, background as u64);
        let births = Births::new(params.seed, params.anchor, &demography, &cast.used)?;
        let staff = Staff::new(&demography);
        let directory = Builder {
            seed: params.seed,
            anchor: params.anchor,
            population: params.population,
            demography: &demography,
            places: &places,
            staff: &staff,
        }
        .build(&mut cast.organisations)?;
        let fixed_lists_share = fixed_lists_share(&places);
        Ok(Self {
            params: *params,
            cast,
            demography,
            places,
            births,
            naming: Naming::new(),
            staff,
            directory,
            fixed_lists_share,
        })
    }

    /// What the nation was made from.
    #[must_use]
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The story's day D.
    #[must_use]
    pub fn anchor(&self) -> Date {
        self.params.anchor
    }

    /// Fixed people: story, families, identity cases, personnel.
    #[must_use]
    pub fn fixed_persons(&self) -> &[Person] {
        &self.cast.persons
    }

    /// A fixed person by key (`blokk`, `sun-mor`, `moen`, `id-merged`).
    #[must_use]
    pub fn person_by_key(&self, key: &str) -> Option<&Person> {
        let own = self.cast.persons.iter().find(|p| p.key == Some(key));
        own.or_else(|| {
            let practitioner = self.practitioner_by_key(key)?;
            self.cast
                .persons
                .iter()
                .find(|p| p.id == practitioner.person)
        })
    }

    /// The persons that facts.json lists: the eight of the story and the identity cases, in the order of their tables.
    pub fn story_persons(&self) -> impl Iterator<Item = &Person> {
        self.cast.persons.iter().filter(|p| p.story.is_some())
    }

    /// Everybody, fixed people first, made on the way: holds one cell at a time.
    pub fn persons(&self) -> impl Iterator<Item = Person> + '_ {
        self.cast.persons.iter().cloned().chain(self.background())
    }

    /// Everybody who is not fixed.
    pub fn background(&self) -> impl Iterator<Item = Person> + '_ {
        self.cells().flat_map(|cell| cell.persons)
    }

    /// Number of background cells.
    #[must_use]
    pub fn cell_count(&self) -> u64 {
        self.demography.cells()
    }

    /// One cell of the background, made alone. Beyond the last cell it is empty.
    #[must_use]
    pub fn cell(&self, number: u64) -> Cell {
        if number >= self.cell_count() {
            return Cell {
                persons: Vec::new(),
                practitioners: Vec::new(),
            };
        }
        background::cell::make(self, number)
    }

    /// All cells in order.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        (0..self.cell_count()).map(|number| self.cell(number))
    }

    /// One person by number, made alone.
    #[must_use]
    pub fn person(&self, id: PersonId) -> Option<Person> {
        if id.0 < FIRST_BACKGROUND {
            return self.cast.persons.iter().find(|p| p.id == id).cloned();
        }
        let cell = u64::from((id.0 - FIRST_BACKGROUND) / STRIDE);
        self.cell(cell).persons.into_iter().find(|p| p.id == id)
    }

    /// Fixed personnel.
    #[must_use]
    pub fn fixed_practitioners(&self) -> &[Practitioner] {
        &self.cast.practitioners
    }

    /// Fixed personnel by key (`solberg`, `moen`).
    #[must_use]
    pub fn practitioner_by_key(&self, key: &str) -> Option<&Practitioner> {
        self.cast.practitioners.iter().find(|p| p.key == Some(key))
    }

    /// Fixed personnel by number.
    #[must_use]
    pub fn fixed_practitioner(&self, hpr: HprNumber) -> Option<&Practitioner> {
        self.cast.practitioners.iter().find(|p| p.hpr == Some(hpr))
    }

    /// All personnel, fixed first, made on the way.
    pub fn practitioners(&self) -> impl Iterator<Item = Practitioner> + '_ {
        self.cast
            .practitioners
            .iter()
            .cloned()
            .chain(self.cells().flat_map(|cell| cell.practitioners))
    }

    /// All organisations, fixed first.
    pub fn organisations(&self) -> impl Iterator<Item = &Organisation> {
        self.cast
            .organisations
            .iter()
            .chain(&self.directory.organisations)
    }

    /// Fixed organisations only.
    #[must_use]
    pub fn fixed_organisations(&self) -> &[Organisation] {
        &self.cast.organisations
    }

    /// A fixed organisation by key (`fjordglott`, `nordlys`).
    #[must_use]
    pub fn organisation_by_key(&self, key: &str) -> Option<&Organisation> {
        self.cast.organisations.iter().find(|o| o.key == Some(key))
    }

    /// All GP lists, fixed first.
    pub fn gp_lists(&self) -> impl Iterator<Item = &GpList> {
        self.cast.lists.iter().chain(&self.directory.lists)
    }

    /// Numbers of the municipalities in which somebody lives.
    pub fn inhabited(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.places.inhabited().map(|m| m.number)
    }

    /// Every address that may be found by searching for it: unprotected residents only.
    pub fn address_index(&self) -> impl Iterator<Item = (model::Address, Nin)> + '_ {
        self.persons()
            .filter(|p| p.protection == model::Protection::Unclassified)
            .filter_map(|p| Some((p.address?, p.nin)))
    }

    /// A fixed list for a background person of the story's towns, as far as they have room.
    fn fixed_list(&self, town: &str, random: &mut Stream) -> Option<&GpList> {
        let (_, share) = self.fixed_lists_share.iter().find(|(m, _)| *m == town)?;
        if !random.chance(*share) {
            return None;
        }
        let own: Vec<&GpList> = self
            .cast
            .lists
            .iter()
            .filter(|l| l.municipality == town && l.id != cast::list_id::WITHOUT)
            .collect();
        random.pick(&own).copied()
    }
}

/// The fixed lists take everybody in a small nation and their share in a large one.
fn fixed_lists_share(places: &Places) -> [(&'static str, u64); 2] {
    let share = |town: &'static str, room: u64| {
        let persons = places
            .inhabited()
            .position(|m| m.number == town)
            .map_or(0, |at| places.persons(at));
        (town, 10_000 * room.min(persons) / persons.max(1))
    };
    [share("5501", 2_900), share("5610", 850)]
}
