"""Spanish words."""

from speechllm.mini.lexicon.table import phrases, table

# gender (fa: feminine with "el"), singular, plural
NOUNS = table("""
baker m panadero panaderos
fisherman m pescador pescadores
farmer m granjero granjeros
cook m cocinero cocineros
knight m caballero caballeros
teacher f maestra maestras
mother f madre madres
grandmother f abuela abuelas
son m hijo hijos
girl f chica chicas
boy m chico chicos
child m niño niños
cat m gato gatos
dog m perro perros
horse m caballo caballos
bird m pájaro pájaros
mouse m ratón ratones
cow f vaca vacas
bread m pan -
meat f carne -
soup f sopa -
rice m arroz -
flour f harina -
water fa agua -
milk f leche -
wine m vino -
coffee m café -
apple f manzana manzanas
cake m pastel pasteles
egg m huevo huevos
fish m pez peces
book m libro libros
letter f carta cartas
song f canción canciones
flower f flor flores
hat m sombrero sombreros
glass m vaso vasos
boat m barco barcos
house f casa casas
moon f luna -
sea m mar -
""")
ANIMATE = set(list(NOUNS)[:18])

# he, they, infinitive, participle
VERBS = table("""
be es son - -
stay está están - -
bake hornea hornean - horneado
catch pesca pescan - pescado
hunt caza cazan - -
eat come comen - comido
drink bebe beben - -
buy compra compran comprar comprado
sell vende venden - -
read lee leen leer -
write escribe escriben escribir escrito
see ve ven ver visto
meet encuentra encuentran - -
bring trae traen - traído
wash lava lavan - -
sing canta cantan cantar -
wait espera esperan - -
sleep duerme duermen - -
work trabaja trabajan - -
play juega juegan jugar -
swim nada nadan nadar -
travel viaja viajan - -
have ha han - -
can puede pueden - -
""")
STATES = {"hot", "cold", "fresh"}  # said with "estar"

# masculine, feminine, masculine plural, feminine plural
ADJECTIVES = table("""
red rojo roja rojos rojas
white blanco blanca blancos blancas
black negro negra negros negras
green verde verde verdes verdes
big grande grande grandes grandes
small pequeño pequeña pequeños pequeñas
old viejo vieja viejos viejas
young joven joven jóvenes jóvenes
hot caliente caliente calientes calientes
cold frío fría fríos frías
fresh fresco fresca frescos frescas
""")
BEFORE_NOUN = {"young"}

NUMERALS = {2: "dos", 3: "tres", 4: "cuatro", 8: "ocho", 10: "diez"}
AND, WHO, NOT = "y", "que", "no"

PLACES = phrases("""
in_kitchen: en la cocina
in_garden: en el jardín
at_market: en el mercado
by_sea: junto al mar
in_sea: en el mar
in_lake: en el lago
in_field: en el campo
at_school: en la escuela
in_sun: al sol
behind_house: detrás de la casa
under_tree: bajo el árbol
in_city: en la ciudad
to_city: a la ciudad
to_sea: al mar
to_market: al mercado
to_mountains: a las montañas
""")

TIMES = phrases("""
morning: por la mañana
afternoon: por la tarde
night: por la noche
today: hoy
sunday: el domingo
every_day: cada día
summer: en verano
winter: en invierno
this_morning: esta mañana
this_year: este año
""")


def article(det: str, gender: str, plural: bool, following: str) -> str:
    """The word before a noun phrase, with the space after it."""
    if det == "the":
        if plural:
            return "los " if gender == "m" else "las "
        return "la " if gender == "f" else "el "
    if det == "a":
        return "una " if gender == "f" else "un "
    return ""


def of(gender: str, noun: str) -> str:
    return f"del {noun}" if gender == "m" else f"de la {noun}"


def negate(verb: str) -> str:
    return f"no {verb}"


def person(phrase: str) -> str:
    """The "a" before people and known animals as objects."""
    return "al " + phrase.removeprefix("el ") if phrase.startswith("el ") else f"a {phrase}"
