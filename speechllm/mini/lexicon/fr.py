"""French words."""

from speechllm.mini.lexicon.table import phrases, table

# gender, singular, plural
NOUNS = table("""
baker m boulanger boulangers
fisherman m pêcheur pêcheurs
farmer m fermier fermiers
cook m cuisinier cuisiniers
knight m chevalier chevaliers
teacher f maîtresse maîtresses
mother f mère mères
grandmother f mamie mamies
son m fils fils
girl f fille filles
boy m garçon garçons
child m enfant enfants
cat m chat chats
dog m chien chiens
horse m cheval chevaux
bird m oiseau oiseaux
mouse f souris souris
cow f vache vaches
bread m pain -
meat f viande -
soup f soupe -
rice m riz -
flour f farine -
water f eau -
milk m lait -
wine m vin -
coffee m café -
apple f pomme pommes
cake m gâteau gâteaux
egg m œuf œufs
fish m poisson poissons
book m livre livres
letter f lettre lettres
song m chant chants
flower f fleur fleurs
hat m chapeau chapeaux
glass m verre verres
boat m bateau bateaux
house f maison maisons
moon f lune -
sea f mer -
""")

# he, they, infinitive, participle
VERBS = table("""
be est sont - -
bake cuit cuisent - cuit
catch pêche pêchent - pêché
hunt chasse chassent - -
eat mange mangent - mangé
drink boit boivent - -
buy achète achètent acheter acheté
sell vend vendent - -
read lit lisent lire -
write écrit écrivent écrire écrit
see voit voient voir vu
meet rencontre rencontrent - -
bring apporte apportent - apporté
wash lave lavent - -
sing chante chantent chanter -
wait attend attendent - -
sleep dort dorment - -
work travaille travaillent - -
play joue jouent jouer -
swim nage nagent nager -
travel voyage voyagent - -
have a ont - -
can peut peuvent - -
""")

# masculine, feminine, masculine plural, feminine plural
ADJECTIVES = table("""
red rouge rouge rouges rouges
white blanc blanche blancs blanches
black noir noire noirs noires
green vert verte verts vertes
big grand grande grands grandes
small petit petite petits petites
old vieux vieille vieux vieilles
young jeune jeune jeunes jeunes
hot chaud chaude chauds chaudes
cold froid froide froids froides
fresh frais fraîche frais fraîches
""")
BEFORE_NOUN = {"big", "small", "old", "young"}

NUMERALS = {2: "deux", 3: "trois", 4: "quatre", 8: "huit", 10: "dix"}
AND, WHO, NOT = "et", "qui", "ne"

PLACES = phrases("""
in_kitchen: dans la cuisine
in_garden: dans le jardin
at_market: au marché
by_sea: près de la mer
in_sea: dans la mer
in_lake: dans le lac
in_field: dans le champ
at_school: à l'école
in_sun: au soleil
behind_house: derrière la maison
under_tree: sous l'arbre
in_city: en ville
to_city: vers la ville
to_sea: vers la mer
to_market: vers le marché
to_mountains: vers les montagnes
""")

TIMES = phrases("""
morning: le matin
afternoon: l'après-midi
night: la nuit
today: aujourd'hui
sunday: le dimanche
every_day: chaque jour
summer: en été
winter: en hiver
this_morning: ce matin
this_year: cette année
""")


def is_vowel(word: str) -> bool:
    return word[0] in "aeiouâéèêœ"


def article(det: str, gender: str, plural: bool, following: str) -> str:
    """The word before a noun phrase, with the space or the apostrophe after it."""
    if plural:
        prenominal = following.split()[0] in BEFORE_FORMS
        return "les " if det == "the" else "de " if prenominal else "des "
    if det == "a":
        return "un " if gender == "m" else "une "
    definite = "l'" if is_vowel(following) else "le " if gender == "m" else "la "
    if det == "the":
        return definite
    return "du " if definite == "le " else f"de {definite}"


def of(gender: str, noun: str) -> str:
    return f"du {noun}" if gender == "m" else f"de la {noun}"


def negate(verb: str) -> str:
    return f"n'{verb} pas" if is_vowel(verb) else f"ne {verb} pas"


BEFORE_FORMS = {form for name in BEFORE_NOUN for form in ADJECTIVES[name]}
