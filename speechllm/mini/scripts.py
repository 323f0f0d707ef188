"""Who usually does what to what, where and when, in the made-up world.

A script is a verb with its weight, then its usual agents, objects, places and times with theirs. An object is ``0.`` a
mass, ``a.`` one or a counted few, ``s.`` an uncounted few, ``the.`` the known one; "-" stands for nothing.
"""

SCRIPTS = """
bake 6
    baker:8 grandmother:3 cook:1
    0.bread:5 a.cake:5
    in_kitchen:9 behind_house:1
    morning:6 sunday:3 every_day:3 today:1
catch 6
    fisherman:9 boy:2 son:1
    a.fish:1
    in_lake:4 by_sea:5
    morning:3 night:4 summer:3
hunt 6
    cat:8 dog:3
    a.mouse:6 a.bird:4
    in_garden:4 in_field:3 behind_house:3
    night:6 summer:2 winter:2
eat 6
    child:4 girl:3 boy:3
    a.apple:6 a.cake:3 a.egg:3 0.rice:2
    under_tree:3 in_garden:3 in_kitchen:3 at_school:3
    afternoon:5 every_day:3 today:2
eat 5
    knight:4 farmer:4 fisherman:3
    0.meat:5 0.soup:3 0.bread:3 a.egg:2
    in_kitchen:3 in_field:3 by_sea:2
    winter:4 sunday:4 morning:3
drink 5
    cat:5 child:5 girl:3
    0.milk:8 0.water:2
    in_kitchen:5 in_garden:3
    morning:5 every_day:4
drink 3
    horse:5 dog:3 cow:3
    0.water:1
    in_field:4 behind_house:3
    summer:5 afternoon:3
drink 5
    mother:4 teacher:4 baker:2
    0.coffee:9 0.water:2
    in_garden:3 in_city:3 at_school:3
    morning:5 afternoon:4 today:2
drink 4
    knight:6 farmer:3 cook:2
    0.wine:9 0.soup:2
    under_tree:4 in_city:3 in_sun:3
    night:5 sunday:4 winter:2
buy 5
    mother:6 grandmother:3
    0.milk:3 0.flour:3 0.bread:3 a.egg:2 a.basket:2
    at_market:8 in_city:3
    sunday:4 today:4 morning:3
buy 5
    cook:7 baker:5
    0.flour:5 0.meat:3 0.rice:4 a.egg:3 s.apple:2
    at_market:8 by_sea:1
    morning:6 every_day:4 today:2
buy 4
    girl:4 teacher:4 son:3
    a.hat:5 a.book:4 a.flower:4
    in_city:7 at_market:4
    today:4 afternoon:4 summer:2
buy 3
    knight:5 farmer:4
    a.horse:6 a.house:3 a.boat:3 a.cow:2
    in_city:5 at_market:4
    summer:4 today:2
sell 5
    farmer:9 son:2
    s.apple:5 s.egg:4 0.milk:3 0.meat:3
    at_market:8 behind_house:2
    sunday:4 summer:3 every_day:3
sell 4
    baker:7 girl:2
    0.bread:6 s.cake:4 0.flour:2
    in_city:4 at_market:5
    morning:6 every_day:3
sell 3
    girl:6 grandmother:4
    s.flower:7 s.basket:3 s.hat:3
    at_market:4 in_sun:3 by_sea:2
    summer:4 afternoon:4
read 7
    teacher:6 boy:3 girl:3 grandmother:2
    a.book:8 a.letter:2
    at_school:6 under_tree:4 in_garden:3 in_sun:2
    night:3 afternoon:5 winter:3
read 3
    mother:4 knight:3
    a.letter:8 a.book:2
    in_kitchen:4 under_tree:2 by_sea:2
    morning:4 night:4
write 6
    son:5 knight:4 teacher:3
    a.letter:8 a.book:3
    at_school:4 in_kitchen:2 under_tree:2
    night:5 sunday:3 winter:3
write 3
    girl:5 mother:2
    a.song:7 a.letter:4
    in_garden:4 by_sea:4
    afternoon:4 summer:4
see 4
    child:4 girl:2 cat:2
    the.moon:7 a.bird:4
    behind_house:4 in_garden:3
    night:9 winter:3
see 5
    fisherman:5 son:2 boy:2
    the.sea:6 a.boat:5 a.fish:4
    in_sun:3
    morning:5 every_day:4 summer:3
see 4
    bird:4 mouse:4 dog:3
    the.cat:1
    under_tree:4 in_kitchen:4 in_field:3
    night:3 morning:4 every_day:3
see 3
    knight:5 farmer:3
    a.house:4 a.horse:4 the.sea:3
    in_field:4 in_sun:3
    winter:3 morning:3
meet 6
    mother:5 farmer:3 cook:2
    the.teacher:7 the.fisherman:3
    at_school:7 at_market:4 in_city:2
    afternoon:4 today:3 sunday:3
meet 4
    knight:5 boy:3 grandmother:2
    the.fisherman:6 the.grandmother:3 the.knight:4
    by_sea:6 in_field:3
    summer:4 morning:3
bring 5
    son:6 boy:3
    0.water:7 a.basket:4 0.milk:3
    -
    every_day:5 morning:4 today:2
bring 4
    girl:5 child:4 knight:2
    a.flower:8 a.letter:4
    -
    sunday:5 summer:4 today:3
bring 4
    cook:8 grandmother:3
    0.soup:6 a.glass:4 0.wine:3 0.coffee:2
    -
    winter:4 night:4 sunday:2
wash 4
    mother:4 cook:5 child:2
    a.glass:6 0.rice:3 s.apple:3
    in_kitchen:9 in_sun:1
    afternoon:4 every_day:4
wash 4
    farmer:6 boy:4 knight:3
    the.horse:6 the.dog:4 the.cow:3
    behind_house:5 in_lake:2 by_sea:2
    sunday:4 summer:4
sing 5
    bird:3 girl:5 mother:3 teacher:3
    a.song:1
    under_tree:4 in_garden:4 at_school:3
    morning:5 every_day:3 summer:3
wait 6
    child:4 mother:3 dog:4
    the.son:5 the.grandmother:4 the.boy:3
    at_school:6 behind_house:3 under_tree:2
    afternoon:6 every_day:3
wait 4
    farmer:4 fisherman:4
    the.knight:6 the.teacher:3 the.son:2
    by_sea:4 in_field:4 at_market:2
    winter:4 today:4 night:2
sleep 9
    cat:6 dog:5 child:4 baker:3 knight:2 grandmother:2 fisherman:2 cow:2
    -
    in_sun:6 under_tree:5 in_garden:3 in_kitchen:2 in_field:2
    night:6 afternoon:5 winter:3
work 8
    farmer:6 cook:5 teacher:4 baker:3 horse:2 mother:2 son:2
    -
    in_field:6 in_kitchen:5 at_school:5 in_city:2
    every_day:6 morning:4 sunday:2 winter:2
play 8
    child:6 boy:5 girl:4 cat:3 dog:3 son:2
    -
    in_garden:6 at_school:4 behind_house:4 by_sea:3 in_field:1
    afternoon:6 summer:4 today:3
swim 6
    boy:5 girl:4 dog:3 child:3 teacher:1 fisherman:2
    -
    in_sea:6 in_lake:5
    summer:7 morning:3 sunday:2
travel 8
    knight:6 farmer:3 teacher:3 grandmother:3 cook:2 son:2
    -
    to_city:6 to_sea:5 to_market:4 to_mountains:4
    summer:5 sunday:4 today:3 winter:2
be 8
    cat:4 dog:4 bird:3 horse:3 cow:3 mouse:3 boy:2 knight:2 girl:2 fisherman:2
    -
    under_tree:5 in_garden:5 in_kitchen:3 in_field:4 by_sea:3 at_market:2 behind_house:2
    night:4 today:4 winter:3 morning:2
"""

# which one of whose
OWNERS = """
cat girl:6 grandmother:3
dog boy:6 fisherman:2
horse knight:6 farmer:3
cow farmer:1
bird girl:2 grandmother:3
"""

# what things and people are like, said beside the noun
ADJECTIVES = """
fisherman old:1
knight young:4 old:2
teacher young:1
farmer old:1
baker young:1
girl small:1
boy small:1
cat black:5 white:3 small:2
dog big:5 black:3
horse white:6 old:2
bird small:6 black:2
mouse small:1
cow white:3 big:2
bread fresh:1
meat fresh:1
soup hot:1
water cold:1
milk fresh:4 cold:3
coffee hot:1
wine red:5 white:2
apple red:6 green:4
cake big:4 small:2
egg fresh:2 white:2
fish big:5 small:2
book old:5 red:2
flower red:5 white:4
hat black:4 green:3 red:3
glass green:1
boat old:3 small:4
basket big:1
house white:5 big:3 old:2
"""

# the same as the statement itself
PREDICATES = """
soup hot:1
coffee hot:4 cold:1
water cold:1
sea cold:4 green:2
house old:3 white:4 big:3
boat old:4 small:3 green:2
apple red:5 green:4
flower red:4 white:4
hat black:1
fish big:4 small:2
bread fresh:1
milk cold:2 fresh:3
cat black:3 white:2
dog old:4 big:3
horse white:3 old:2
fisherman old:1
teacher young:1
moon big:2 red:1
"""
