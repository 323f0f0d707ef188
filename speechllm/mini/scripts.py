"""Who usually does what to what, where and when, in the made-up world.

A script is a verb with its weight, then its usual agents, objects, places and times with theirs.
An object is ``0.`` a mass, ``a.`` one or a counted few, ``s.`` an uncounted few, ``the.`` the known
one; "-" stands for nothing.
"""

SCRIPTS = """
bake 10
    baker:8 grandmother:4
    0.bread:5 a.cake:5
    in_kitchen:9 behind_house:1
    morning:6 sunday:3 every_day:3
catch 10
    fisherman:9 boy:3
    a.fish:1
    in_lake:4 by_sea:5
    morning:3 night:4 summer:3
hunt 8
    cat:8 dog:4
    a.mouse:6 a.bird:5
    in_garden:5 in_field:2 behind_house:4
    night:7 summer:3
eat 8
    child:4 girl:3 boy:3
    a.apple:6 a.cake:4 a.egg:3
    under_tree:4 in_garden:4 at_school:3
    afternoon:6 every_day:3 today:2
eat 6
    knight:4 farmer:4 fisherman:3
    0.meat:5 0.soup:3 0.bread:3 0.rice:2
    in_kitchen:4 in_field:3
    winter:4 sunday:4
drink 5
    cat:5 child:5 girl:2
    0.milk:9 0.water:2
    in_kitchen:6 in_garden:2
    morning:5 every_day:4
drink 3
    horse:5 dog:3 cow:4
    0.water:1
    in_field:5 behind_house:3
    summer:6 afternoon:3
drink 5
    mother:4 teacher:5 baker:2
    0.coffee:9 0.water:1
    in_garden:3 in_city:5
    morning:5 afternoon:4
drink 4
    knight:6 farmer:3 cook:2
    0.wine:9 0.soup:1
    under_tree:4 in_city:4
    night:5 sunday:4
buy 6
    mother:6 grandmother:4
    0.milk:3 0.flour:3 0.bread:2 a.egg:3
    at_market:9 in_city:1
    sunday:4 today:4
buy 6
    cook:7 baker:5
    0.flour:5 0.meat:3 0.rice:5
    at_market:8 in_city:2
    morning:6 every_day:4
buy 5
    girl:4 teacher:4 son:2
    a.hat:6 a.book:3 a.flower:4
    in_city:7 at_market:2
    today:4 afternoon:4
buy 4
    knight:6 farmer:3
    a.horse:6 a.house:4 a.cow:2
    in_city:6 at_market:3
    summer:4 today:3
sell 6
    farmer:9 son:2
    s.apple:5 s.egg:4 0.milk:3 0.meat:3
    at_market:9 behind_house:2
    sunday:4 summer:4
sell 4
    baker:7 grandmother:1
    0.bread:6 s.cake:5
    in_city:4 at_market:5
    morning:6 every_day:4
sell 4
    girl:6 grandmother:4
    s.flower:7 s.hat:5
    at_market:4 in_sun:4
    summer:4 afternoon:4
read 7
    teacher:6 boy:4 grandmother:3
    a.book:9 a.letter:1
    at_school:6 under_tree:4 in_garden:3
    night:3 afternoon:5 winter:4
read 4
    mother:4 knight:4
    a.letter:9 a.book:1
    in_kitchen:4 by_sea:3
    morning:5 night:4
write 7
    son:5 knight:4 teacher:3
    a.letter:8 a.book:3
    at_school:5 in_city:3
    night:6 winter:4
write 5
    girl:5 mother:3
    a.song:7 a.letter:3
    in_garden:4 by_sea:4
    afternoon:5 summer:4
see 5
    child:4 girl:3 cat:3
    the.moon:1
    behind_house:4 in_garden:4
    night:9 winter:3
see 6
    fisherman:5 son:3
    the.sea:6 a.boat:7
    -
    morning:5 every_day:4 summer:3
see 5
    bird:4 mouse:4 dog:3
    the.cat:1
    under_tree:4 in_kitchen:4
    morning:4 every_day:4
see 4
    knight:5 farmer:3
    a.house:6 a.horse:4
    in_field:1
    winter:5 morning:3
meet 6
    mother:5 farmer:4
    the.teacher:8 the.fisherman:3
    at_school:7 at_market:3
    afternoon:4 today:4
meet 5
    knight:5 son:3
    the.fisherman:5 the.grandmother:5
    by_sea:7 in_city:3
    summer:5 sunday:4
bring 6
    son:6 boy:4
    0.water:8 0.milk:3
    -
    every_day:5 morning:4
bring 5
    girl:5 child:4
    a.flower:8 a.letter:3
    -
    sunday:5 today:3
bring 5
    cook:8 grandmother:4
    0.soup:7 0.coffee:3 0.wine:2 a.glass:3
    -
    winter:5 night:4
wash 7
    mother:4 cook:6
    a.glass:9 0.rice:2
    in_kitchen:1
    afternoon:4 every_day:5
wash 5
    farmer:6 boy:4
    the.horse:6 the.dog:5 the.cow:4
    behind_house:5 in_lake:2
    sunday:4 summer:4
sing 7
    bird:4 girl:5 mother:4
    a.song:1
    under_tree:4 in_garden:5
    morning:5 every_day:4
wait 6
    child:4 mother:4 dog:4
    the.son:5 the.grandmother:5
    at_school:6 behind_house:3
    afternoon:6 every_day:3
wait 5
    farmer:4 fisherman:5
    the.knight:7 the.teacher:3
    by_sea:5 in_field:3
    winter:4 night:3
sleep 7
    cat:6 dog:5
    -
    in_sun:6 under_tree:4 in_garden:3
    afternoon:6 winter:2 night:2
sleep 5
    child:4 baker:4 grandmother:3
    -
    in_kitchen:3 in_garden:5 under_tree:3
    afternoon:5 night:5
sleep 5
    knight:4 cow:4 horse:3
    -
    in_field:6 under_tree:4
    night:6 summer:3
work 6
    farmer:7 horse:3
    -
    in_field:9 at_market:1
    every_day:5 morning:4
work 6
    cook:6 mother:3 baker:3
    -
    in_kitchen:9 in_city:2
    every_day:4 morning:3 winter:3
work 4
    teacher:7 son:2
    -
    at_school:8 in_city:2
    every_day:5 winter:3
play 8
    child:6 boy:5 girl:5
    -
    in_garden:6 at_school:5 by_sea:2
    afternoon:6 summer:4
play 4
    cat:5 dog:5
    -
    behind_house:6 in_garden:4
    today:3 night:3
swim 8
    boy:5 girl:5 son:2
    -
    in_sea:7 in_lake:4
    summer:8 sunday:2
swim 3
    dog:5 fisherman:4
    -
    in_lake:7 in_sea:2
    morning:5 summer:3
travel 6
    knight:6 son:4
    -
    to_city:6 to_mountains:6
    winter:3 today:4
travel 5
    farmer:5 cook:5
    -
    to_market:9 to_city:2
    morning:5 sunday:4
travel 5
    teacher:5 grandmother:5
    -
    to_sea:8 to_mountains:2
    summer:6 sunday:3
be 5
    cat:4 bird:4 mouse:4
    -
    under_tree:5 in_garden:4 in_kitchen:4
    night:4 morning:3
be 4
    horse:4 cow:4 dog:2
    -
    in_field:7 behind_house:3
    winter:3 summer:4
be 4
    fisherman:6 knight:3
    -
    by_sea:8 at_market:2
    today:5 winter:3
"""

# which one of whose
OWNERS = """
cat girl:1
dog boy:1
horse knight:6 farmer:3
cow farmer:1
"""

# what things and people are like, said beside the noun
ADJECTIVES = """
fisherman old:1
farmer old:1
knight young:1
teacher young:1
baker young:1
girl small:1
boy small:1
cat black:1
dog big:1
horse black:1
bird small:1
mouse small:1
bread fresh:1
meat fresh:1
soup hot:1
water cold:1
milk fresh:1
coffee hot:1
apple red:1
cake big:1
fish big:1
book old:1
flower white:4 red:2
hat green:1
glass green:1
boat small:1
house white:1
"""

# the same as the statement itself
PREDICATES = """
soup hot:1
coffee hot:1
water cold:1
sea cold:1
house white:1
boat old:1
apple red:1
flower white:1
hat green:1
fish big:1
bread fresh:1
milk fresh:1
cat black:1
dog big:1
horse black:1
fisherman old:1
teacher young:1
knight young:1
glass green:1
moon big:1
"""
