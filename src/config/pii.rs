//! What the filter of personal data looks for.

use super::rewrite::FieldName;

/// The filter of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pii {
    /// What is replaced.
    pub kinds: Vec<PiiKind>,
    /// The fields whose texts are looked at, with all that lies in them; empty: all texts.
    pub fields: Vec<FieldName>,
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
