//! What the filter of personal data looks for, and who is asked what it cannot know.

use std::time::Duration;

use super::rewrite::FieldName;
use super::{ManagedIdentity, Roots};
use crate::label::Label;
use crate::secret::Secret;

/// The filter of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pii {
    /// What is replaced.
    pub kinds: Vec<PiiKind>,
    /// The fields whose texts are looked at, with all that lies in them; empty: all texts.
    pub fields: Vec<FieldName>,
    /// Who is asked what else is personal in what is left; `None`: nobody.
    pub detector: Option<Label>,
}

/// `[pii_detectors.NAME]`: a service that finds personal data by the sense of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PiiDetector {
    pub name: Label,
    pub kind: DetectorKind,
    pub host: String,
    pub port: u16,
    /// `None`: plain text, on loopback only.
    pub roots: Option<Roots>,
    /// What lies before the service's own path, without a slash at its end.
    pub path: String,
    pub credential: DetectorCredential,
    /// What texts are written in, as the service names it.
    pub language: String,
    /// What it is to look for, in its own words; empty: what it looks for by itself.
    pub categories: Vec<String>,
    /// All questions about one body.
    pub total: Duration,
    /// Questions at a time, each on one socket.
    pub at_once: usize,
}

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DetectorKind {
    /// Azure AI Language, `PiiEntityRecognition`.
    AzureLanguage,
    /// The analyzer of Microsoft Presidio.
    Presidio,
}

impl DetectorKind {
    pub const ALL: [DetectorKind; 2] = [DetectorKind::AzureLanguage, DetectorKind::Presidio];

    /// The word in the settings.
    pub fn word(self) -> &'static str {
        match self {
            DetectorKind::AzureLanguage => "azure-language",
            DetectorKind::Presidio => "presidio",
        }
    }
}

/// What it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectorCredential {
    Nothing,
    /// In the header that its kind has for it.
    Key(Secret),
    /// A token that the platform gives to the edge.
    Identity(ManagedIdentity),
}

/// A kind of personal data, each with a form or a check digit that tells it from other text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PiiKind {
    Email,
    /// E.164, and national forms with separators of North America, Germany, the United Kingdom, France
    /// and whoever else dials a leading 0.
    Phone,
    /// Payment cards: 13 to 19 digits (ISO/IEC 7812), by Luhn's digit and the ranges of issuers.
    Card,
    /// IPv4 and IPv6.
    Ip,
    /// United States: Social Security number.
    Ssn,
    /// United Kingdom: National Insurance number.
    Nino,
    /// Germany: Steuer-Identifikationsnummer.
    SteuerId,
    /// France: numéro d'inscription au répertoire (INSEE, sécurité sociale).
    Nir,
    /// Spain: DNI and NIE.
    Dni,
    /// Italy: codice fiscale.
    CodiceFiscale,
    /// India.
    Aadhaar,
    /// Brazil: Cadastro de Pessoas Físicas.
    Cpf,
}

impl PiiKind {
    pub const ALL: [PiiKind; 12] = [
        PiiKind::Email,
        PiiKind::Phone,
        PiiKind::Card,
        PiiKind::Ip,
        PiiKind::Ssn,
        PiiKind::Nino,
        PiiKind::SteuerId,
        PiiKind::Nir,
        PiiKind::Dni,
        PiiKind::CodiceFiscale,
        PiiKind::Aadhaar,
        PiiKind::Cpf,
    ];
    /// What has the same form everywhere.
    pub const DEFAULT: [PiiKind; 4] = [PiiKind::Email, PiiKind::Phone, PiiKind::Card, PiiKind::Ip];

    /// As the settings write it, and in brackets what stands in a text instead.
    pub fn word(self) -> &'static str {
        match self {
            PiiKind::Email => "email",
            PiiKind::Phone => "phone",
            PiiKind::Card => "card",
            PiiKind::Ip => "ip",
            PiiKind::Ssn => "ssn",
            PiiKind::Nino => "nino",
            PiiKind::SteuerId => "steuer-id",
            PiiKind::Nir => "nir",
            PiiKind::Dni => "dni",
            PiiKind::CodiceFiscale => "codice-fiscale",
            PiiKind::Aadhaar => "aadhaar",
            PiiKind::Cpf => "cpf",
        }
    }
}
