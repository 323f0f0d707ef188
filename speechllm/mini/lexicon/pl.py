"""Polish words."""

from speechllm.mini.lexicon.table import phrases, table

# gender (mv: men, ma: male animals, mi: masculine things, f, n), nominative, accusative, genitive,
# plural, genitive plural
NOUNS = table("""
baker mv piekarz piekarza - piekarze -
fisherman mv rybak rybaka rybaka rybacy -
farmer mv rolnik rolnika rolnika rolnicy -
cook mv kucharz kucharza - kucharze -
knight mv rycerz rycerza rycerza rycerze -
teacher f nauczycielka nauczycielkę - nauczycielki -
mother f matka matkę - matki -
grandmother f babcia babcię babci babcie -
son mv syn syna - synowie -
girl f dziewczynka dziewczynkę dziewczynki dziewczynki -
boy mv chłopiec chłopca chłopca chłopcy -
child n dziecko dziecko - dzieci -
cat ma kot kota - koty kotów
dog ma pies psa - psy psów
horse ma koń konia - konie koni
bird ma ptak ptaka - ptaki ptaków
mouse f mysz mysz - myszy myszy
cow f krowa krowę - krowy krów
bread mi chleb chleb - - -
meat n mięso mięso - - -
soup f zupa zupę - - -
rice mi ryż ryż - - -
flour f mąka mąkę - - -
water f woda wodę - - -
milk n mleko mleko - - -
wine n wino wino - - -
coffee f kawa kawę - - -
apple n jabłko jabłko - jabłka jabłek
cake n ciasto ciasto - ciasta ciast
egg n jajko jajko - jajka jajek
fish f ryba rybę - ryby ryb
book f książka książkę - książki książek
letter mi list list - listy listów
song f piosenka piosenkę - piosenki piosenek
flower mi kwiat kwiat - kwiaty kwiatów
hat mi kapelusz kapelusz - kapelusze kapeluszy
glass f szklanka szklankę - szklanki szklanek
boat f łódka łódkę - łódki łódek
house mi dom dom - domy domów
moon mi księżyc księżyc - - -
sea n morze morze - - -
""")

# he, they, infinitive, he did, she did, it did, the men did, the others did
VERBS = table("""
be jest są - - - - - -
bake piecze pieką - upiekł upiekła upiekło upiekli upiekły
catch łowi łowią - złowił złowiła złowiło złowili złowiły
hunt poluje polują - - - - - -
eat je jedzą - zjadł zjadła zjadło zjedli zjadły
drink pije piją - - - - - -
buy kupuje kupują kupić kupił kupiła kupiło kupili kupiły
sell sprzedaje sprzedają - - - - - -
read czyta czytają czytać - - - - -
write pisze piszą pisać napisał napisała napisało napisali napisały
see widzi widzą widzieć widział widziała widziało widzieli widziały
meet spotyka spotykają - - - - - -
bring przynosi przynoszą - przyniósł przyniosła przyniosło przynieśli przyniosły
wash myje myją - - - - - -
sing śpiewa śpiewają śpiewać - - - - -
wait czeka czekają - - - - - -
sleep śpi śpią - - - - - -
work pracuje pracują - - - - - -
play bawi_się bawią_się się_bawić - - - - -
swim pływa pływają pływać - - - - -
travel jedzie jadą - - - - - -
can może mogą - - - - - -
""")
PREPOSITIONS = {"wait": "na", "hunt": "na"}

# stem (endings are regular), plural beside men
ADJECTIVES = table("""
red czerwon -
white biał -
black czarn -
green zielon -
big duż -
small mał mali
old star starzy
young młod młodzi
hot gorąc -
cold zimn -
fresh śwież -
""")

NUMERALS = {2: "dwa", 3: "trzy", 4: "cztery", 8: "osiem", 10: "dziesięć"}
TWO_FEMININE = "dwie"

PLACES = phrases("""
in_kitchen: w kuchni
in_garden: w ogrodzie
at_market: na targu
by_sea: nad morzem
in_sea: w morzu
in_lake: w jeziorze
in_field: na polu
at_school: w szkole
in_sun: na słońcu
behind_house: za domem
under_tree: pod drzewem
in_city: w mieście
to_city: do miasta
to_sea: nad morze
to_market: na targ
to_mountains: w góry
""")

TIMES = phrases("""
morning: rano
afternoon: po południu
night: w nocy
today: dzisiaj
sunday: w niedzielę
every_day: codziennie
summer: latem
winter: zimą
this_morning: dziś rano
this_year: w tym roku
""")
