"""German words."""

from speechllm.mini.lexicon.table import phrases, table

# gender, singular, plural, accusative and genitive singular (where they differ and are needed)
NOUNS = table("""
baker m Bäcker Bäcker
fisherman m Fischer Fischer Fischer Fischers
farmer m Bauer Bauern Bauern Bauern
cook m Koch Köche
knight m Ritter Ritter Ritter Ritters
teacher f Lehrerin Lehrerinnen
mother f Mutter Mütter
grandmother f Großmutter Großmütter
son m Sohn Söhne
girl n Mädchen Mädchen Mädchen Mädchens
boy m Junge Jungen Jungen Jungen
child n Kind Kinder
cat f Katze Katzen
dog m Hund Hunde
horse n Pferd Pferde
bird m Vogel Vögel
mouse f Maus Mäuse
cow f Kuh Kühe
bread n Brot -
meat n Fleisch -
soup f Suppe -
rice m Reis -
flour n Mehl -
water n Wasser -
milk f Milch -
wine m Wein -
coffee m Kaffee -
apple m Apfel Äpfel
cake m Kuchen Kuchen
egg n Ei Eier
fish m Fisch Fische
book n Buch Bücher
letter m Brief Briefe
song n Lied Lieder
flower f Blume Blumen
hat m Hut Hüte
glass n Glas Gläser
boat n Boot Boote
house n Haus Häuser
moon m Mond -
sea n Meer -
""")

# he, they (and the infinitive), participle
VERBS = table("""
be ist sind -
bake backt backen gebacken
catch fängt fangen gefangen
hunt jagt jagen -
eat isst essen gegessen
drink trinkt trinken -
buy kauft kaufen gekauft
sell verkauft verkaufen -
read liest lesen -
write schreibt schreiben geschrieben
see sieht sehen gesehen
meet trifft treffen -
bring bringt bringen gebracht
wash wäscht waschen -
sing singt singen -
wait wartet warten -
sleep schläft schlafen -
work arbeitet arbeiten -
play spielt spielen -
swim schwimmt schwimmen -
travel reist reisen -
have hat haben -
can kann können -
""")
PREPOSITIONS = {"wait": "auf"}

# predicate, stem
ADJECTIVES = table("""
red rot rot
white weiß weiß
black schwarz schwarz
green grün grün
big groß groß
small klein klein
old alt alt
young jung jung
hot heiß heiß
cold kalt kalt
fresh frisch frisch
""")

NUMERALS = {2: "zwei", 3: "drei", 4: "vier", 8: "acht", 10: "zehn"}
AND, NOT = "und", "nicht"

PLACES = phrases("""
in_kitchen: in der Küche
in_garden: im Garten
at_market: auf dem Markt
by_sea: am Meer
in_sea: im Meer
in_lake: im See
in_field: auf dem Feld
at_school: in der Schule
in_sun: in der Sonne
behind_house: hinter dem Haus
under_tree: unter dem Baum
in_city: in der Stadt
to_city: in die Stadt
to_sea: ans Meer
to_market: zum Markt
to_mountains: in die Berge
""")

TIMES = phrases("""
morning: am Morgen
afternoon: am Nachmittag
night: in der Nacht
today: heute
sunday: am Sonntag
every_day: jeden Tag
summer: im Sommer
winter: im Winter
this_morning: heute Morgen
this_year: dieses Jahr
""")
