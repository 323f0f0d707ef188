"""Dutch words."""

from speechllm.mini.lexicon.table import phrases, table

# article, singular, plural
NOUNS = table("""
baker de bakker bakkers
fisherman de visser vissers
farmer de boer boeren
cook de kok koks
knight de ridder ridders
teacher de lerares leraressen
mother de moeder moeders
grandmother de oma oma's
son de zoon zonen
girl het meisje meisjes
boy de jongen jongens
child het kind kinderen
cat de kat katten
dog de hond honden
horse het paard paarden
bird de vogel vogels
mouse de muis muizen
cow de koe koeien
bread het brood -
meat het vlees -
soup de soep -
rice de rijst -
flour het meel -
water het water -
milk de melk -
wine de wijn -
coffee de koffie -
apple de appel appels
cake de taart taarten
egg het ei eieren
fish de vis vissen
book het boek boeken
letter de brief brieven
song het lied liederen
flower de bloem bloemen
hat de hoed hoeden
glass het glas glazen
boat de boot boten
house het huis huizen
moon de maan -
sea de zee -
""")

# he, they (and the infinitive), participle
VERBS = table("""
be is zijn -
bake bakt bakken gebakken
catch vangt vangen gevangen
hunt jaagt jagen -
eat eet eten gegeten
drink drinkt drinken -
buy koopt kopen gekocht
sell verkoopt verkopen -
read leest lezen -
write schrijft schrijven geschreven
see ziet zien gezien
meet ontmoet ontmoeten -
bring brengt brengen gebracht
wash wast wassen -
sing zingt zingen -
wait wacht wachten -
sleep slaapt slapen -
work werkt werken -
play speelt spelen -
swim zwemt zwemmen -
travel reist reizen -
have heeft hebben -
can kan kunnen -
""")
PREPOSITIONS = {"wait": "op", "hunt": "op"}

# predicate (and beside "een" with a het-word), inflected
ADJECTIVES = table("""
red rood rode
white wit witte
black zwart zwarte
green groen groene
big groot grote
small klein kleine
old oud oude
young jong jonge
hot heet hete
cold koud koude
fresh vers verse
""")

NUMERALS = {2: "twee", 3: "drie", 4: "vier", 8: "acht", 10: "tien"}
AND, NOT = "en", "niet"

PLACES = phrases("""
in_kitchen: in de keuken
in_garden: in de tuin
at_market: op de markt
by_sea: aan zee
in_sea: in zee
in_lake: in het meer
in_field: op het veld
at_school: op school
in_sun: in de zon
behind_house: achter het huis
under_tree: onder de boom
in_city: in de stad
to_city: naar de stad
to_sea: naar zee
to_market: naar de markt
to_mountains: naar de bergen
""")

TIMES = phrases("""
morning: 's ochtends
afternoon: 's middags
night: 's nachts
today: vandaag
sunday: op zondag
every_day: elke dag
summer: in de zomer
winter: in de winter
this_morning: vanochtend
this_year: dit jaar
""")
