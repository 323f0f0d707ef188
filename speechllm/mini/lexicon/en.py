"""English words."""

from speechllm.mini.lexicon.table import phrases, table

# singular, plural
NOUNS = table("""
baker baker bakers
fisherman fisherman fishermen
farmer farmer farmers
cook cook cooks
knight knight knights
teacher teacher teachers
mother mother mothers
grandmother grandmother grandmothers
son son sons
girl girl girls
boy boy boys
child child children
cat cat cats
dog dog dogs
horse horse horses
bird bird birds
mouse mouse mice
cow cow cows
bread bread -
meat meat -
soup soup -
rice rice -
flour flour -
water water -
milk milk -
wine wine -
coffee coffee -
apple apple apples
cake cake cakes
egg egg eggs
fish fish fish
book book books
letter letter letters
song song songs
flower flower flowers
hat hat hats
glass glass glasses
boat boat boats
house house houses
moon moon -
sea sea -
""")

# he, they (and the plain form), past
VERBS = table("""
be is are was
bake bakes bake baked
catch catches catch caught
hunt hunts hunt -
eat eats eat ate
drink drinks drink -
buy buys buy bought
sell sells sell -
read reads read -
write writes write wrote
see sees see saw
meet meets meet -
bring brings bring brought
wash washes wash -
sing sings sing -
wait waits wait -
sleep sleeps sleep -
work works work -
play plays play -
swim swims swim -
travel travels travel -
""")
PREPOSITIONS = {"wait": "for"}

ADJECTIVES = table("""
red red
white white
black black
green green
big big
small small
old old
young young
hot hot
cold cold
fresh fresh
""")

NUMERALS = {2: "two", 3: "three", 4: "four", 8: "eight", 10: "ten"}

PLACES = phrases("""
in_kitchen: in the kitchen
in_garden: in the garden
at_market: at the market
by_sea: by the sea
in_sea: in the sea
in_lake: in the lake
in_field: in the field
at_school: at school
in_sun: in the sun
behind_house: behind the house
under_tree: under the tree
in_city: in the city
to_city: to the city
to_sea: to the sea
to_market: to the market
to_mountains: to the mountains
""")

TIMES = phrases("""
morning: in the morning
afternoon: in the afternoon
night: at night
today: today
sunday: on Sunday
every_day: every day
summer: in summer
winter: in winter
this_morning: this morning
this_year: this year
""")
