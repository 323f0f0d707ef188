"""Italian words."""

from speechllm.mini.lexicon.table import phrases, table

# gender (mf: feminine in the plural), singular, plural
NOUNS = table("""
baker m fornaio fornai
fisherman m pescatore pescatori
farmer m contadino contadini
cook m cuoco cuochi
knight m cavaliere cavalieri
teacher f maestra maestre
mother f madre madri
grandmother f nonna nonne
son m figlio figli
girl f ragazza ragazze
boy m ragazzo ragazzi
child m bambino bambini
cat m gatto gatti
dog m cane cani
horse m cavallo cavalli
bird m uccello uccelli
mouse m topo topi
cow f mucca mucche
bread m pane -
meat f carne -
soup f zuppa -
rice m riso -
flour f farina -
water f acqua -
milk m latte -
wine m vino -
coffee m caffè -
apple f mela mele
cake f torta torte
egg mf uovo uova
fish m pesce pesci
book m libro libri
letter f lettera lettere
song f canzone canzoni
flower m fiore fiori
hat m cappello cappelli
glass m bicchiere bicchieri
boat f barca barche
house f casa case
moon f luna -
sea m mare -
""")

# he, they, infinitive, participle
VERBS = table("""
be è sono - -
bake cuoce cuociono - cotto
catch pesca pescano - pescato
hunt caccia cacciano - -
eat mangia mangiano - mangiato
drink beve bevono - -
buy compra comprano comprare comprato
sell vende vendono - -
read legge leggono leggere -
write scrive scrivono scrivere scritto
see vede vedono vedere visto
meet incontra incontrano - -
bring porta portano - portato
wash lava lavano - -
sing canta cantano cantare -
wait aspetta aspettano - -
sleep dorme dormono - -
work lavora lavorano - -
play gioca giocano giocare -
swim nuota nuotano nuotare -
travel viaggia viaggiano - -
have ha hanno - -
can può possono - -
""")

# masculine, feminine, masculine plural, feminine plural
ADJECTIVES = table("""
red rosso rossa rossi rosse
white bianco bianca bianchi bianche
black nero nera neri nere
green verde verde verdi verdi
big grande grande grandi grandi
small piccolo piccola piccoli piccole
old vecchio vecchia vecchi vecchie
young giovane giovane giovani giovani
hot caldo calda caldi calde
cold freddo fredda freddi fredde
fresh fresco fresca freschi fresche
""")
BEFORE_NOUN = {"big", "small", "old", "young"}

NUMERALS = {2: "due", 3: "tre", 4: "quattro", 8: "otto", 10: "dieci"}
AND, WHO, NOT = "e", "che", "non"

PLACES = phrases("""
in_kitchen: in cucina
in_garden: in giardino
at_market: al mercato
by_sea: vicino al mare
in_sea: nel mare
in_lake: nel lago
in_field: nel campo
at_school: a scuola
in_sun: al sole
behind_house: dietro la casa
under_tree: sotto l'albero
in_city: in città
to_city: verso la città
to_sea: verso il mare
to_market: verso il mercato
to_mountains: verso le montagne
""")

TIMES = phrases("""
morning: al mattino
afternoon: nel pomeriggio
night: di notte
today: oggi
sunday: la domenica
every_day: ogni giorno
summer: d'estate
winter: d'inverno
this_morning: stamattina
this_year: quest'anno
""")


def article(det: str, gender: str, plural: bool, following: str) -> str:
    """The word before a noun phrase, with the space or the apostrophe after it."""
    vowel = following[0] in "aeiou"
    impure = following[0] == "z" or following[0] == "s" and following[1] not in "aeiou"
    if det == "the":
        if plural:
            return "le " if gender == "f" else "gli " if vowel or impure else "i "
        if vowel:
            return "l'"
        return "la " if gender == "f" else "lo " if impure else "il "
    if det == "a":
        if gender == "f":
            return "un'" if vowel else "una "
        return "uno " if impure else "un "
    return ""


def of(gender: str, noun: str) -> str:
    return f"del {noun}" if gender == "m" else f"della {noun}"


def negate(verb: str) -> str:
    return f"non {verb}"
