r"""The words of themes that are unfit for children, in English and in Russian; data.

Each entry is a regular expression over lower-case text without accents (the Russian yo has
lost its dots). It is matched from the beginning of a word to the end of one; `\w*` stands for
any ending. Words that fairy tales use innocently stand here only beside what makes them unfit:
whales kill, crows come as a murder, the emperor is naked, weeds grow in gardens, and grief
belongs into stories.
"""

from __future__ import annotations

from typing import Final

SEXUAL: Final = "sexual"
VIOLENT: Final = "violent"
SELF_HARM: Final = "self_harm"
DRUGS: Final = "drugs"
HATE: Final = "hate"
CRUDE: Final = "crude"

_SOMEONE: Final = (
    r"(?:people|person|man|men|woman|women|child|children|kid|kids|boy|boys|girl|girls|baby|"
    r"babies|mother|father|mom|mum|dad|parents?|sister|brother|family|friends?|teachers?|"
    r"classmates?|neighbou?rs?|wife|wives|husband|sons?|daughters?|villagers?|everyone|everybody|him|her|them)"
)
_WHOSE: Final = (
    r"(?:(?:his|her|their|my|your|our|the|a|an|all|some|other|little|whole|entire|own)\s+){0,3}"
)
_DEALS: Final = r"(?:inject\w*|snort\w*|smok\w+|shoot\w*|sell\w*|deal\w*|cook\w*)"
_KOGO: Final = (
    r"(?:люд(?:ей|и)|человек\w*|мам\w*|пап\w*|мать|матери|отц\w*|родител\w*|сестр\w*|брат\w*|"
    r"дет(?:ей|и)|ребенк\w*|девочк\w*|мальчик\w*|семь\w+|друз\w+|друга|подруг\w*|учител\w+|"
    r"одноклассник\w*|сосед\w*|всех|его|ее|их)"
)
_CHEI: Final = r"(?:(?:сво\w+|мо\w+|тво\w+|всю|весь|маленьк\w+|чуж\w+|других)\s+){0,2}"

ENGLISH: Final[dict[str, tuple[str, ...]]] = {
    SEXUAL: (
        r"porn\w*",
        r"sex",
        r"sexy",
        r"sexual\w*",
        r"sexting",
        r"erotic\w*",
        r"nsfw",
        r"hentai",
        r"bdsm",
        r"fetish\w*",
        r"orgasm\w*",
        r"masturbat\w*",
        r"blow\s?jobs?",
        r"strip\s?(?:club|tease)\w*",
        r"striptease",
        r"prostitut\w*",
        r"hookers?",
        r"brothels?",
        r"rap(?:e(?!\s?(?:field|seed|oil|blossom))|es|ed|ing|ist|ists)",
        r"molest\w*",
        r"p(?:a)?edophil\w*",
        r"incest\w*",
        r"nud(?:es|ity)",
        r"(?:naked|nude)\s+(?:girls?|boys?|wom[ae]n|m[ae]n|child(?:ren)?|kids?|teens?|teacher|body|bodies)",
        r"undress\w*\s+(?:in front of|the girl|the boy|for him|for her)",
        r"lolita",
        r"genitals?",
        r"penis(?:es)?",
        r"vaginas?",
        r"onlyfans",
        r"strip\s+poker",
    ),
    VIOLENT: (
        rf"kill(?:s|ed|ing)?\s+{_WHOSE}{_SOMEONE}",
        rf"murder(?:s|ed|ing)?\s+{_WHOSE}{_SOMEONE}",
        rf"stab(?:s|bed|bing)?\s+{_WHOSE}{_SOMEONE}",
        rf"shoot(?:s|ing)?\s+(?:at\s+)?{_WHOSE}{_SOMEONE}",
        rf"strangl\w+\s+{_WHOSE}{_SOMEONE}",
        rf"poison(?:s|ed|ing)?\s+{_WHOSE}{_SOMEONE}",
        r"serial\s+(?:killer|murder)\w*",
        r"mass\s+murder\w*",
        r"school\s+shoot\w*",
        r"massacr\w*",
        r"genocid\w*",
        r"tortur\w*",
        r"behead\w*",
        r"(?:cut|cuts|cutting|chop|chops|chopping)\s+off\s+(?:his|her|their|the)\s+heads?",
        r"decapitat\w*",
        r"dismember\w*",
        r"disembowel\w*",
        r"mutilat\w*",
        r"cannibal\w*",
        r"gor(?:e|y)",
        r"snuff\s+(?:film|movie|video)s?",
        r"slasher\w*",
        r"blood\s?bath\w*",
        r"(?:build|make|making|plant)\s+(?:a\s+)?(?:pipe\s+)?bombs?(?!\s*bath)",
        r"terrorist\s+attack\w*",
        r"suicide\s+bomb\w*",
        r"chainsaw\s+(?:killer|massacre|murder)\w*",
    ),
    SELF_HARM: (
        r"suicid\w*",
        r"self[\s-]?harm\w*",
        r"kill(?:s|ed|ing)?\s+(?:him|her|them|my|your|our|one)sel(?:f|ves)",
        r"hang(?:s|ed|ing)?\s+(?:him|her|them|my|your)sel(?:f|ves)",
        r"(?:cut|cuts|cutting|slit|slits|slitting)\s+(?:his|her|their|my|your)\s+wrists?",
        r"pro[\s-]?ana",
        r"starv\w+\s+(?:him|her|them|my|your)sel(?:f|ves)\s+to\s+(?:be|get|become)",
    ),
    DRUGS: (
        r"cocaine",
        r"crack\s+(?:pipe|cocaine|house|addict)\w*",
        r"heroin\s+(?:addict\w*|dealer\w*|overdose\w*)",
        rf"{_DEALS}\s+(?:some\s+)?(?:heroin|meth|coke|crack|drugs|weed|pot|dope)",
        r"(?:crystal\s+)?meth(?:amphetamine)?s?",
        r"marijuana",
        r"cannabis",
        r"lsd",
        r"ketamine",
        r"fentanyl",
        r"drug\s+(?:dealer|lord|addict|cartel|abuse|trip|trade|party)\w*",
        r"(?:on|take|takes|taking|do|does|doing|using|tries|trying)\s+drugs",
        r"(?:get|gets|getting|got|be|being)\s+(?:drunk|wasted|high\s+on|stoned)",
        r"vodka",
        r"binge\s+drink\w*",
        r"vap(?:e|es|ing)\s+(?:at|in|with|pen|party)",
    ),
    HATE: (
        r"hitler",
        r"nazis?",
        r"neo[\s-]?nazi\w*",
        r"ku\s+klux\s+klan",
        r"white\s+(?:power|supremac\w*)",
        r"ethnic\s+cleansing",
        r"racial\s+purity",
        r"master\s+race",
        r"n[i1]gg(?:er|a)s?",
        r"(?:hates?|hating)\s+(?:all\s+)?(?:jews|muslims|blacks|gays|immigrants|foreigners|gypsies)",
        r"(?:jews|muslims|blacks|gays|immigrants|gypsies)\s+(?:are|as)\s+(?:vermin|rats|inferior|evil)",
    ),
    CRUDE: (
        r"(?:mother)?fuck\w*",
        r"shit(?:s|ty|ting|head)?",
        r"bullshit",
        r"cunts?",
        r"assholes?",
        r"whores?",
        r"sluts?",
        r"wank(?:er|ers|ing)?",
    ),
}
RUSSIAN: Final[dict[str, tuple[str, ...]]] = {
    SEXUAL: (
        r"порн(?:о|уха|ух\w+|ограф\w+|ушк\w+)",
        r"порно\w+",
        r"секс(?:а|у|ом|е)?",
        r"сексуал\w+",
        r"секси",
        r"эроти[кч]\w*",
        r"хентай\w*",
        r"бдсм",
        r"оргазм\w*",
        r"мастурб\w+",
        r"минет\w*",
        r"стриптиз\w*",
        r"проститут\w+",
        r"шлюх\w*",
        r"бордел\w+",
        r"изнасил\w+",
        r"насильник\w*",
        r"педофил\w*",
        r"инцест\w*",
        r"растлен\w+",
        r"совращ\w+",
        r"гол(?:ые|ых|ая|ую|ой)\s+(?:девочк\w+|девушк\w+|женщин\w*|дет\w+|мальчик\w*|училк\w+)",
        r"раздева\w+\s+(?:перед\s+)?(?:девочк\w+|мальчик\w*|ребенк\w*|учител\w+|мужчин\w*)",
        r"пенис\w*",
        r"вагин\w*",
        r"член(?:ом|а)?\s+во\s+рт\w+",
    ),
    VIOLENT: (
        rf"уби(?:л|ла|ли|ть|вает|вают|вать|вал|вала|вали|йств\w+)\s+{_CHEI}{_KOGO}",
        rf"(?:за)?реза(?:л|ла|ли|ть)\s+{_CHEI}{_KOGO}",
        rf"зареж\w+\s+{_CHEI}{_KOGO}",
        rf"(?:за|рас)стрел\w+\s+{_CHEI}{_KOGO}",
        rf"(?:за)?душ(?:ит|ил|ила|ить)\s+{_CHEI}{_KOGO}",
        rf"отрав(?:ил|ила|ить|ит|ляет)\s+{_CHEI}{_KOGO}",
        r"серийн\w+\s+убийц\w*",
        r"маньяк\w*",
        r"массов\w+\s+убийств\w*",
        r"стрельб\w+\s+в\s+школ\w+",
        r"скулшутинг\w*",
        r"геноцид\w*",
        r"резн[яюие]й?",
        r"(?<!не )пытк\w*",
        r"пытать\s+(?:люд\w+|его|ее|их|пленн\w+)",
        r"обезглав\w+",
        r"расчлен\w+",
        r"выпотрош\w+",
        r"изувеч\w+",
        r"каннибал\w*",
        r"людоедств\w+",
        r"кровав\w+\s+(?:бойн\w+|резн\w+|расправ\w+|месив\w+)",
        r"кишк\w*\s+наружу",
        r"(?:сделать|собрать|взорвать|заложить)\s+бомб\w+",
        r"теракт\w*",
        r"террорист\w*\s+(?:взрыва\w+|убива\w+)",
    ),
    SELF_HARM: (
        r"самоуби\w+",
        r"суицид\w*",
        r"селфхарм\w*",
        r"самоповрежд\w+",
        r"(?:повеси(?:лся|лась|ться)|вешается)",
        r"(?:вскры|реж|реза)\w*\s+(?:себе\s+)?вены",
        r"(?:убить|убивает|убил|убила)\s+себя",
        r"покончи\w+\s+с\s+собой",
    ),
    DRUGS: (
        r"наркотик\w*",
        r"нарком\w+",
        r"наркодил\w*",
        r"наркобарон\w*",
        r"кокаин\w*",
        r"героин(?:а|у|ом)?",
        r"амфетамин\w*",
        r"марихуан\w*",
        r"гашиш\w*",
        r"конопл\w+\s+(?:кур\w+|покур\w+)",
        r"(?:по)?кур\w+\s+(?:травк\w+|травы|траву|коноплю|дурь|спайс)",
        r"лсд",
        r"водк\w*",
        r"пьянк\w*",
        r"алкаш\w*",
        r"собутыльник\w*",
        r"напи(?:ться|лся|лась|лись|вается)\s+(?:в\s+стельку|пьян\w+|допьяна|водк\w+)",
        r"бух(?:ать|ает|ают|ал|ала|али|ло)",
    ),
    HATE: (
        r"гитлер\w*",
        r"нацист\w*",
        r"неонаци\w*",
        r"скинхед\w*",
        r"зиг\s+хайль",
        r"хайль\s+гитлер",
        r"арийск\w+\s+рас\w+",
        r"высш\w+\s+рас[аыеу]",
        r"этническ\w+\s+чистк\w+",
        r"нигер(?:ы|ов|ам|а)",
        r"ниггер\w*",
        r"жид(?:ы|ов|ам|ами|овск\w+)",
        r"ненави\w+\s+(?:всех\s+)?(?:евре\w+|мусульман\w*|цыган\w*|приезж\w+|черны\w+)",
    ),
    CRUDE: (
        r"(?:о|на|по)?ху(?:й|я|ю|ем|ев\w*|ен\w*|йн\w*|еса\w*)",
        r"пизд\w*",
        r"(?:за|вы|на|у|отъ|съ|разъ|объ|подъ|до|пере|при|про)?еб(?:ать\w*|ал\w*|ут\w*|ет|ем|ан\w*|уч\w*)",
        r"бля(?:дь|ди|дск\w*|ть)?",
        r"муда(?:к\w*|чь\w*)",
        r"гандон\w*",
        r"говн(?:о|а|у|ом|е|юк\w*)",
        r"сран\w+",
        r"жоп(?:а|у|ы|е|ой)",
    ),
}
