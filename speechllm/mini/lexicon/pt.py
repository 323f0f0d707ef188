"""Portuguese words."""

from speechllm.mini.lexicon.table import phrases, table

# gender, singular, plural
NOUNS = table("""
baker m padeiro padeiros
fisherman m pescador pescadores
farmer m fazendeiro fazendeiros
cook m cozinheiro cozinheiros
knight m cavaleiro cavaleiros
teacher f professora professoras
mother f mãe mães
grandmother f avó avós
son m filho filhos
girl f menina meninas
boy m menino meninos
child f criança crianças
cat m gato gatos
dog m cachorro cachorros
horse m cavalo cavalos
bird m pássaro pássaros
mouse m rato ratos
cow f vaca vacas
bread m pão -
meat f carne -
soup f sopa -
rice m arroz -
flour f farinha -
water f água -
milk m leite -
wine m vinho -
coffee m café -
apple f maçã maçãs
cake m bolo bolos
egg m ovo ovos
fish m peixe peixes
book m livro livros
letter f carta cartas
song f canção canções
flower f flor flores
hat m chapéu chapéus
glass m copo copos
boat m barco barcos
house f casa casas
moon f lua -
sea m mar -
""")

# he, they, infinitive, he did, they did
VERBS = table("""
be é são - - -
stay está estão - - -
bake assa assam - assou assaram
catch pesca pescam - pescou pescaram
hunt caça caçam - - -
eat come comem - comeu comeram
drink bebe bebem - - -
buy compra compram comprar comprou compraram
sell vende vendem - - -
read lê leem ler - -
write escreve escrevem escrever escreveu escreveram
see vê veem ver viu viram
meet encontra encontram - - -
bring traz trazem - trouxe trouxeram
wash lava lavam - - -
sing canta cantam cantar - -
wait espera esperam - - -
sleep dorme dormem - - -
work trabalha trabalham - - -
play brinca brincam brincar - -
swim nada nadam nadar - -
travel viaja viajam - - -
can pode podem - - -
""")
STATES = {"hot", "cold", "fresh"}  # said with "estar"

# masculine, feminine, masculine plural, feminine plural
ADJECTIVES = table("""
red vermelho vermelha vermelhos vermelhas
white branco branca brancos brancas
black preto preta pretos pretas
green verde verde verdes verdes
big grande grande grandes grandes
small pequeno pequena pequenos pequenas
old velho velha velhos velhas
young jovem jovem jovens jovens
hot quente quente quentes quentes
cold frio fria frios frias
fresh fresco fresca frescos frescas
""")
BEFORE_NOUN = {"young"}

NUMERALS = {2: ("dois", "duas"), 3: "três", 4: "quatro", 8: "oito", 10: "dez"}
AND, WHO, NOT = "e", "que", "não"

PLACES = phrases("""
in_kitchen: na cozinha
in_garden: no jardim
at_market: no mercado
by_sea: perto do mar
in_sea: no mar
in_lake: no lago
in_field: no campo
at_school: na escola
in_sun: ao sol
behind_house: atrás da casa
under_tree: debaixo da árvore
in_city: na cidade
to_city: para a cidade
to_sea: para o mar
to_market: para o mercado
to_mountains: para as montanhas
""")

TIMES = phrases("""
morning: de manhã
afternoon: à tarde
night: à noite
today: hoje
sunday: no domingo
every_day: todos os dias
summer: no verão
winter: no inverno
this_morning: esta manhã
this_year: este ano
""")


def article(det: str, gender: str, plural: bool, following: str) -> str:
    """The word before a noun phrase, with the space after it."""
    if det == "the":
        return ("o" if gender == "m" else "a") + ("s " if plural else " ")
    if det == "a":
        return "um " if gender == "m" else "uma "
    return ""


def of(gender: str, noun: str) -> str:
    return f"do {noun}" if gender == "m" else f"da {noun}"


def negate(verb: str) -> str:
    return f"não {verb}"
