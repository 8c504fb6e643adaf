"""The terms that a specification may use, by what they are for: data, with its source.

Source:  Data Privacy Vocabulary 2.3 (w3c/dpv) for ``dpv``, ``eu-gdpr``, ``legal-gb`` and ``loc``; the Data Use Ontology
         of GA4GH; the EU table of access rights; our own, ``pets``, where DPV has none for the United Kingdom.
Not all: only terms that the rules know how to judge. A term that is not here is refused (LL-03), with the nearest one.
"""

import difflib
from functools import lru_cache
from typing import Final

PREFIXES: Final = {
    "dpv": "https://w3id.org/dpv#",
    "eu-gdpr": "https://w3id.org/dpv/legal/eu/gdpr#",
    "legal-gb": "https://w3id.org/dpv/legal/gb#",
    "loc": "https://w3id.org/dpv/loc#",
    "DUO": "http://purl.obolibrary.org/obo/DUO_",
    "access-right": "http://publications.europa.eu/resource/authority/access-right/",
    "pets": "urn:pets:terms:",
}
"""What a prefix stands for. A term may be written either way; ``short`` gives the one with the prefix."""


def _terms(prefix: str, names: str) -> tuple[str, ...]:
    return tuple(f"{prefix}:{name}" for name in names.split())


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


RESEARCH: Final = frozenset(_terms("dpv", "ScientificResearch AcademicResearch NonCommercialResearch"))
STATISTICS: Final = frozenset({"dpv:ProvideOfficialStatistics"})
PURPOSES: Final = _terms(
    "dpv",
    "ProvideOfficialStatistics ScientificResearch AcademicResearch NonCommercialResearch PublicPolicyMaking "
    "ImprovePublicServices ImproveHealthcare PublicBenefit ServiceProvision FraudPreventionAndDetection",
)
LAWS: Final = _terms("legal-gb", "law-GDPR law-DPA")

RECOGNISED: Final = "pets:RecognisedLegitimateInterest"
"""UK GDPR Article 6(1)(ea), for which DPV has no term."""
ARTICLE_6: Final = (
    *_terms("eu-gdpr", "A6-1-a A6-1-a-explicit-consent A6-1-a-non-explicit-consent"),
    *_terms("eu-gdpr", "A6-1-b A6-1-b-contract-performance A6-1-b-enter-into-contract"),
    *_terms("eu-gdpr", "A6-1-c A6-1-d A6-1-d-data-subject A6-1-d-natural-person"),
    *_terms("eu-gdpr", "A6-1-e A6-1-e-official-authority A6-1-e-public-interest"),
    *_terms("eu-gdpr", "A6-1-f A6-1-f-controller A6-1-f-third-party"),
    RECOGNISED,
)
ARTICLE_9: Final = _terms("eu-gdpr", " ".join(f"A9-2-{letter}" for letter in "abcdefghij"))
DPIA: Final = _terms(
    "eu-gdpr",
    "DPIARequired DPIANotRequired DPIAOutcomeRisksMitigated DPIAOutcomeRisksAcceptable DPIAOutcomeHighResidualRisk "
    "DPIAOutcomeDPAConsultation DPIAConformant DPIANonConformant DPIARecommendsProcessingContinue "
    "DPIARecommendsProcessingNotContinue",
)
STATUSES: Final = _terms(
    "dpv",
    "SpecialCategoryPersonalData SensitivePersonalData ConfidentialData StatisticallyConfidentialData "
    "PseudonymisedData AnonymisedData ContextuallyAnonymisedData",
)
DATA_USE: Final = _terms(
    "DUO", "0000004 0000006 0000007 0000012 0000018 0000019 0000020 0000021 0000026 0000042 0000046"
)
ACCESS_RIGHTS: Final = _terms("access-right", "PUBLIC RESTRICTED NON_PUBLIC")
DEA_RESEARCH: Final = "pets:DEA2017ResearchPower"
GATEWAYS: Final = (DEA_RESEARCH, "pets:DEA2017OtherGateway")
ROUTES: Final = _terms("pets", "Consent Section251 PBPP Statute PublicInterest")

SCOTTISH_AREAS: Final = _codes(
    "ABD ABE AGB ANS CLK DGY DND EAY EDH EDU ELN ELS ERW FAL FIF GLG HLD IVC MLN MRY NAY NLK ORK PKN RFW SAY SCB "
    "SLK STG WDU WLN ZET"
)
_AREAS: Final = SCOTTISH_AREAS | _codes(
    "ABC AGY AND ANN BAS BBD BCP BDF BDG BEN BEX BGE BGW BIR BKM BNE BNH BNS BOL BPL BRC BRD BRY BST BUR CAM CAY "
    "CBF CCG CGN CHE CHW CLD CMA CMD CMN CON COV CRF CRY CWY DAL DBY DEN DER DEV DNC DOR DRS DUD DUR EAL ENF ERY "
    "ESS ESX FLN FMO GAT GLS GRE GWN HAL HAM HAV HCK HEF HIL HMF HNS HPL HRT HRW HRY IOS IOW ISL KEC KEN KHL KIR "
    "KTT KWL LAN LBC LBH LCE LDS LEC LEW LIN LIV LND LUT MAN MDB MDW MEA MIK MON MRT MTY MUL NBL NEL NET NFK NGM "
    "NLN NMD NSM NTL NTT NTY NWM NWP NYK OLD OXF PEM PLY POR POW PTE RCC RCH RCT RDB RDG RIC ROT RUT SAW SFK SFT "
    "SGC SHF SHN SHR SKP SLF SLG SND SOL SOM SOS SRY STE STH STN STS STT STY SWA SWD SWK TAM TFW THR TOB TOF TRF "
    "TWH VGL WAR WBK WFT WGN WIL WKF WLL WLV WND WNM WOK WOR WRL WRT WRX WSM WSX YOR"
    " ENG NIR SCT WLS"
)
NOT_IN_DPV: Final = {"GB-BFS": "GB-NIR", "GB-NNH": "GB-ENG", "GB-WNH": "GB-ENG"}
"""ISO 3166-2 codes that DPV lacks, and the nation whose term stands in for each."""
WHOLE: Final = frozenset({"loc:GB", "loc:GB-GBN", "loc:GB-UKM"})
"""Jurisdictions that Scotland is part of."""
SCOTLAND: Final = WHOLE | {"loc:GB-SCT"} | {f"loc:GB-{area}" for area in SCOTTISH_AREAS}
JURISDICTIONS: Final = (*sorted(WHOLE), "loc:GB-EAW", *(f"loc:GB-{area}" for area in sorted(_AREAS)))

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "purpose": PURPOSES,
    "law": LAWS,
    "jurisdiction": JURISDICTIONS,
    "basis of Article 6": ARTICLE_6,
    "condition of Article 9": ARTICLE_9,
    "outcome of a DPIA": DPIA,
    "status of data": STATUSES,
    "code of the Data Use Ontology": DATA_USE,
    "access right": ACCESS_RIGHTS,
    "gateway": GATEWAYS,
    "route in common law": ROUTES,
}
"""Every known term, by what it is."""
KNOWN: Final = frozenset(term for group in GROUPS.values() for term in group)


def short(term: str) -> str:
    """A term with its prefix, whether it was written so or in full; anything else as it is."""
    for prefix, space in PREFIXES.items():
        if term.startswith(space):
            return f"{prefix}:{term.removeprefix(space)}"
    return term


def is_term(text: str) -> bool:
    """True if a text means to be a term: it begins with one of the prefixes, in short or in full."""
    return short(text).startswith(tuple(f"{prefix}:" for prefix in PREFIXES)) and " " not in text.strip()


@lru_cache(4096)  # hundreds of holders say the same of themselves
def nearest(term: str, terms: tuple[str, ...]) -> str | None:
    """The known term that a misspelt one most likely means."""
    found = difflib.get_close_matches(short(term), terms, n=1, cutoff=0.6)
    return found[0] if found else None
