"""German words."""

from speechllm.mini.lexicon.table import phrases, table

# gender, singular, plural, accusative and genitive singular (where they differ and are needed)
NOUNS = table("""
baker m bäcker bäcker
fisherman m fischer fischer fischer fischers
farmer m bauer bauern bauern bauern
cook m koch köche
knight m ritter ritter ritter ritters
teacher f lehrerin lehrerinnen
mother f mutter mütter
grandmother f großmutter großmütter
son m sohn söhne
girl n mädchen mädchen mädchen mädchens
boy m junge jungen jungen jungen
child n kind kinder
cat f katze katzen
dog m hund hunde
horse n pferd pferde
bird m vogel vögel
mouse f maus mäuse
cow f kuh kühe
bread n brot -
meat n fleisch -
soup f suppe -
rice m reis -
flour n mehl -
water n wasser -
milk f milch -
wine m wein -
coffee m kaffee -
apple m apfel äpfel
cake m kuchen kuchen
egg n ei eier
fish m fisch fische
book n buch bücher
letter m brief briefe
song n lied lieder
flower f blume blumen
hat m hut hüte
glass n glas gläser
boat n boot boote
house n haus häuser
moon m mond -
sea n meer -
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
in_kitchen: in der küche
in_garden: im garten
at_market: auf dem markt
by_sea: am meer
in_sea: im meer
in_lake: im see
in_field: auf dem feld
at_school: in der schule
in_sun: in der sonne
behind_house: hinter dem haus
under_tree: unter dem baum
in_city: in der stadt
to_city: in die stadt
to_sea: ans meer
to_market: zum markt
to_mountains: in die berge
""")

TIMES = phrases("""
morning: am morgen
afternoon: am nachmittag
night: in der nacht
today: heute
sunday: am sonntag
every_day: jeden tag
summer: im sommer
winter: im winter
this_morning: heute morgen
this_year: dieses jahr
""")
