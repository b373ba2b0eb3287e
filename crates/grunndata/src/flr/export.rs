//! The export (`ExportGPContracts`): a zip archive with one XML document per office, the list of its contracts.

use super::reads::allowed;
use super::{ALL_PATIENTS, Flr, READ_CONTRACT};
use edge::soap::{Call, Contract, Fault, Object, Value, write};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use registers::directory::Protection;
use registers::gplists::GpContract;
use registers::kernel::EntryNo;
use registers::kernel::identifiers::Packed;
use std::collections::BTreeMap;
use std::io::Write;

impl Flr {
    pub(super) fn export(&self, call: &Call) -> Result<Value, Fault> {
        allowed(&call.user, &[ALL_PATIENTS])?;
        let asked = call.request.object("searchParameters");
        let (full, historic) = asked.map_or((false, false), |a| {
            (a.flag("GetFullPersonInfo"), a.flag("GetHistoricalData"))
        });
        let municipalities: Vec<&str> = asked
            .into_iter()
            .flat_map(|a| a.objects("Municipalities"))
            .filter_map(|code| code.text("CodeValue"))
            .collect();
        let now = self.now();
        let mut offices: BTreeMap<u32, Vec<(EntryNo, GpContract)>> = BTreeMap::new();
        self.parts.lists.each_contract(|entry| {
            if let registers::gplists::Record::Contract(c) = &entry.content
                && (historic || c.valid.contains(now))
                && (municipalities.is_empty() || municipalities.contains(&c.municipality.as_str()))
            {
                let of = offices.entry(c.office).or_default();
                of.push((entry.no, GpContract::clone(c)));
            }
        });
        let contract = Contract::parse(READ_CONTRACT).map_err(|error| {
            tracing::error!(%error, "a contract cannot be read");
            Fault::internal()
        })?;
        let mut archive = Zip::default();
        for (office, mut contracts) in offices {
            contracts.sort_by_key(|(_, c)| c.id);
            let mut written = Vec::new();
            for (no, c) in &contracts {
                written.push(self.exported(call, *no, c, full, historic)?);
            }
            let text = write::document(&contract, "ArrayOfGPContract", &written.into());
            let text = text.map_err(|misfit| {
                tracing::error!(%misfit, "the export does not fit its contract");
                Fault::internal()
            })?;
            let added = archive.add(&format!("{office}.xml"), text.as_bytes());
            added.map_err(|_| Fault::internal())?;
        }
        Ok(Value::Bytes(archive.finish()))
    }

    /// A contract with its patients. Addresses of protected persons stay out whatever is asked.
    fn exported(
        &self,
        call: &Call,
        no: EntryNo,
        contract: &GpContract,
        full: bool,
        historic: bool,
    ) -> Result<Object, Fault> {
        let now = self.now();
        let at = (!historic).then_some(now);
        let lists = &self.parts.lists;
        let patients = match at {
            Some(at) => lists.patients(contract.id, at),
            None => lists.all_patients(contract.id),
        };
        let nins: Vec<String> = patients
            .iter()
            .map(|on| Packed(on.line.nin).text(11))
            .collect();
        self.journal(&call.user, &call.operation, &nins)?;
        let lines: Vec<Object> = patients
            .iter()
            .map(|on| self.on_list(on, at, false, false, full))
            .collect();
        let mut written = self.contract(no, contract, at);
        written.set("PatientList", lines);
        Ok(written)
    }
}

/// Whether an address may be told at all.
pub(super) fn tells_address(protection: Protection) -> bool {
    protection < Protection::ClientAddress
}

/// A zip archive in memory: deflated entries, no extras.
#[derive(Default)]
struct Zip {
    out: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

/// 1980-01-01 00:00, the earliest time an archive can say: entries carry no time of their own.
const NO_TIME: [u8; 4] = [0, 0, 0x21, 0];

impl Zip {
    fn add(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        let too_large = || std::io::Error::other("too large for an archive");
        let offset = u32::try_from(self.out.len()).map_err(|_| too_large())?;
        let size = u32::try_from(content.len()).map_err(|_| too_large())?;
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(content)?;
        let packed = encoder.finish()?;
        let packed_size = u32::try_from(packed.len()).map_err(|_| too_large())?;
        let name_size = u16::try_from(name.len()).map_err(|_| too_large())?;
        let mut common = Vec::with_capacity(26);
        // Version 2.0, names in UTF-8, deflate.
        common.extend([20, 0, 0, 8, 8, 0]);
        common.extend(NO_TIME);
        common.extend(crc.sum().to_le_bytes());
        common.extend(packed_size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(name_size.to_le_bytes());
        common.extend([0, 0]);
        self.out.extend(b"PK\x03\x04");
        self.out.extend(&common);
        self.out.extend(name.as_bytes());
        self.out.extend(packed);
        self.directory.extend(b"PK\x01\x02\x14\x00");
        self.directory.extend(&common);
        self.directory.extend([0; 10]);
        self.directory.extend(offset.to_le_bytes());
        self.directory.extend(name.as_bytes());
        self.entries = self.entries.checked_add(1).ok_or_else(too_large)?;
        Ok(())
    }

    fn finish(mut self) -> Vec<u8> {
        let start = u32::try_from(self.out.len()).unwrap_or(u32::MAX);
        let size = u32::try_from(self.directory.len()).unwrap_or(u32::MAX);
        self.out.extend(&self.directory);
        self.out.extend(b"PK\x05\x06\0\0\0\0");
        self.out.extend(self.entries.to_le_bytes());
        self.out.extend(self.entries.to_le_bytes());
        self.out.extend(size.to_le_bytes());
        self.out.extend(start.to_le_bytes());
        self.out.extend([0, 0]);
        self.out
    }
}
