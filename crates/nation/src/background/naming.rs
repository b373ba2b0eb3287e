//! Names of the background: drawn from the tables by group, sex and age; surnames run in families.

use codes::ident::Sex;
use codes::names::{self, NameGroup};

use crate::rng::Stream;

/// Ages are grouped by five years for the weights of first names.
const BUCKETS: usize = 23;

/// Cumulative weights of the names of a group.
struct Table<T> {
    names: Vec<T>,
    cumulative: Vec<u64>,
}

impl<T: Copy> Table<T> {
    fn new(weighted: impl Iterator<Item = (T, u64)>) -> Self {
        let mut names = Vec::new();
        let mut cumulative = Vec::new();
        let mut sum = 0;
        for (name, weight) in weighted {
            sum += weight;
            names.push(name);
            cumulative.push(sum);
        }
        Self { names, cumulative }
    }

    fn draw(&self, random: &mut Stream) -> Option<T> {
        let total = self.cumulative.last().copied()?;
        let at = random.below(total);
        self.names
            .get(self.cumulative.partition_point(|c| *c <= at))
            .copied()
    }
}

/// Everything needed to name a person.
pub(crate) struct Naming {
    /// By group, sex, age bucket.
    first: Vec<Table<&'static str>>,
    /// By group.
    last: Vec<Table<&'static names::Surname>>,
}

impl Naming {
    pub(crate) fn new() -> Self {
        let mut first = Vec::new();
        for group in NameGroup::ALL {
            for sex in [Sex::Female, Sex::Male] {
                for bucket in 0..BUCKETS {
                    let age = bucket as f64 * 5.0 + 2.5;
                    let fitting = names::first_names()
                        .iter()
                        .filter(|n| n.group == group && n.sex == sex);
                    first.push(Table::new(fitting.map(|n| {
                        let weight = if group == NameGroup::General {
                            n.weight_at(age)
                        } else {
                            n.weight
                        };
                        // weights to six digits: the same on every machine
                        (n.name, (weight * 1_000.0) as u64 + 1)
                    })));
                }
            }
        }
        let last = NameGroup::ALL
            .iter()
            .map(|group| {
                let fitting = names::surnames().iter().filter(|n| n.group == *group);
                Table::new(fitting.map(|n| (n, n.weight as u64 + 1)))
            })
            .collect();
        Self { first, last }
    }

    /// A first name; 18 % of the general group have two.
    pub(crate) fn given(
        &self,
        group: NameGroup,
        sex: Sex,
        age: i16,
        random: &mut Stream,
    ) -> String {
        let one = self.one_given(group, sex, age, random);
        if group == NameGroup::General && random.chance(1_800) {
            let second = self.one_given(group, sex, age, random);
            if second != one {
                return format!("{one} {second}");
            }
        }
        one.to_owned()
    }

    fn one_given(&self, group: NameGroup, sex: Sex, age: i16, random: &mut Stream) -> &'static str {
        let bucket = usize::try_from(age / 5).unwrap_or(0).min(BUCKETS - 1);
        let at = (group as usize * 2 + usize::from(sex == Sex::Male)) * BUCKETS + bucket;
        self.first
            .get(at)
            .and_then(|t| t.draw(random))
            .unwrap_or("Navn")
    }

    /// A surname of the group, in the form of the sex.
    pub(crate) fn family(&self, group: NameGroup, sex: Sex, random: &mut Stream) -> &'static str {
        self.last
            .get(group as usize)
            .and_then(|t| t.draw(random))
            .map_or("Navnesen", |s| s.form(sex))
    }
}

/// Per mille of residents whose names come from each group, by municipality: Sami in the north, others by where
/// immigrants live.
pub(crate) fn group(municipality: &str, random: &mut Stream) -> NameGroup {
    let sami = match municipality {
        "5610" | "5612" => 850,
        m if m.starts_with("56") => 210,
        m if m.starts_with("55") => 60,
        _ => 4,
    };
    let immigrant = match municipality {
        "0301" => 350,
        "3301" => 300,
        "5607" | "5605" => 180,
        m if m.starts_with("34") || m.starts_with("40") => 90,
        m if m.starts_with("56") => 90,
        m if m.starts_with("32") => 210,
        _ => 165,
    };
    let at = random.below(1_000);
    if at < sami {
        return NameGroup::Sami;
    }
    if at < (sami + immigrant).min(990) {
        return match random.below(100) {
            0..34 => NameGroup::EasternEurope,
            34..44 => NameGroup::EastAfrica,
            44..66 => NameGroup::WestAsia,
            66..82 => NameGroup::EastAsia,
            _ => NameGroup::WesternEurope,
        };
    }
    NameGroup::General
}
