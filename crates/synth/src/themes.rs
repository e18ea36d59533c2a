//! The themes of synthetic films, and their words.
//!
//! A theme is a kind of film, narrower than a genre, that users have a taste for. It determines the
//! genres of a film and the words of its title, so that people understand why a film is
//! recommended.

/// The period in which most films of a theme were made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Era {
    /// Mostly before 1965.
    Classic,
    /// The whole century, with more films towards its end.
    Any,
    /// Mostly after 1985.
    Modern,
}

#[derive(Debug)]
pub(super) struct Theme {
    /// Relative number of films.
    pub(super) share: f64,
    pub(super) era: Era,
    /// MovieLens genres, each with its probability; the first is certain.
    pub(super) genres: &'static [(&'static str, f64)],
    pub(super) adjectives: &'static [&'static str],
    /// Nouns with a regular plural.
    pub(super) nouns: &'static [&'static str],
    /// Verbs for titles: `Chasing` precedes "the Comet" and "Ostermoor".
    pub(super) gerunds: &'static [&'static str],
}

#[rustfmt::skip] // one list per line is more readable
pub(super) const THEMES: &[Theme] = &[
    Theme { // space
        share: 3.4, era: Era::Modern,
        genres: &[("Sci-Fi", 1.0), ("Adventure", 0.6), ("Action", 0.35), ("Thriller", 0.2), ("IMAX", 0.08)],
        adjectives: &["Silent", "Distant", "Frozen", "Glass", "Burning", "Copper", "Ninth", "Drifting", "Pale", "Hollow", "Outer", "Unmapped"],
        nouns: &["Comet", "Orbit", "Station", "Pilot", "Moon", "Beacon", "Signal", "Eclipse", "Colony", "Satellite", "Horizon", "Airlock", "Nebula", "Meteor", "Voyager", "Cosmonaut", "Antenna", "Perihelion", "Observatory", "Lifeboat"],
        gerunds: &["Orbiting", "Leaving", "Signalling", "Falling Past", "Waking on", "Colonising"],
    },
    Theme { // machines and near futures
        share: 3.0, era: Era::Modern,
        genres: &[("Sci-Fi", 1.0), ("Thriller", 0.5), ("Drama", 0.4), ("Mystery", 0.3), ("Action", 0.2)],
        adjectives: &["Electric", "Synthetic", "Borrowed", "Second", "Perfect", "Recursive", "Chrome", "Unlicensed", "Gentle", "Rusted", "Parallel", "Obsolete"],
        nouns: &["Automaton", "Circuit", "Memory", "Android", "Algorithm", "Replica", "Engine", "Hologram", "Archivist", "Clockmaker", "Paradox", "Prototype", "Operator", "Transistor", "Dreamer", "Simulation", "Cipher", "Loop", "Avatar", "Turbine"],
        gerunds: &["Rebooting", "Dreaming of", "Remembering", "Unplugging", "Rewriting", "Counting"],
    },
    Theme { // drawn films for the whole family
        share: 4.0, era: Era::Modern,
        genres: &[("Animation", 1.0), ("Children", 0.9), ("Adventure", 0.5), ("Comedy", 0.5), ("Fantasy", 0.4), ("Musical", 0.15), ("IMAX", 0.03)],
        adjectives: &["Brave", "Little", "Clumsy", "Marmalade", "Sleepy", "Polka-Dot", "Runaway", "Upside-Down", "Tiny", "Sugar", "Barefoot", "Curious"],
        nouns: &["Badger", "Hedgehog", "Teapot", "Dragonfly", "Kite", "Penguin", "Puddle", "Snail", "Treehouse", "Otter", "Mitten", "Biscuit", "Duckling", "Bumblebee", "Pirate", "Acorn", "Giraffe", "Wagon", "Snowflake", "Umbrella"],
        gerunds: &["Tickling", "Following", "Finding", "Painting", "Racing", "Hiding from"],
    },
    Theme { // quests and magic
        share: 3.0, era: Era::Modern,
        genres: &[("Fantasy", 1.0), ("Adventure", 0.85), ("Action", 0.35), ("Children", 0.2), ("Drama", 0.15), ("IMAX", 0.05)],
        adjectives: &["Thorn", "Ember", "Seventh", "Ashen", "Crowned", "Wandering", "Silver", "Forgotten", "Oaken", "Moonlit", "Shattered", "Winterborn"],
        nouns: &["Oracle", "Gryphon", "Rune", "Sorcerer", "Gate", "Crown", "Lantern", "Blade", "Apprentice", "Wyrm", "Chalice", "Kingdom", "Enchantress", "Amulet", "Giant", "Ferryman", "Spellbook", "Labyrinth", "Changeling", "Prophecy"],
        gerunds: &["Waking", "Guarding", "Seeking", "Crossing", "Betraying", "Crowning"],
    },
    Theme { // haunted houses
        share: 3.2, era: Era::Any,
        genres: &[("Horror", 1.0), ("Thriller", 0.5), ("Mystery", 0.35), ("Drama", 0.1)],
        adjectives: &["Whispering", "Hushed", "Locked", "Unquiet", "Crooked", "Buried", "Sleepless", "Cold", "Weeping", "Thirteenth", "Nameless", "Candlelit"],
        nouns: &["Attic", "Staircase", "Cellar", "Widow", "Nursery", "Corridor", "Undertaker", "Mirror", "Portrait", "Governess", "Crypt", "Seance", "Orphan", "Wardrobe", "Vicarage", "Doll", "Shroud", "Chapel", "Lodger", "Keyhole"],
        gerunds: &["Burying", "Listening to", "Locking", "Mourning", "Opening", "Haunting"],
    },
    Theme { // monsters
        share: 2.2, era: Era::Any,
        genres: &[("Horror", 1.0), ("Sci-Fi", 0.4), ("Comedy", 0.2), ("Action", 0.15), ("Thriller", 0.15)],
        adjectives: &["Giant", "Radioactive", "Slithering", "Hungry", "Toxic", "Swamp", "Mutant", "Bloodless", "Crawling", "Feral", "Subterranean", "Ravenous"],
        nouns: &["Leech", "Spore", "Tentacle", "Lizard", "Mosquito", "Cocoon", "Fang", "Scarecrow", "Locust", "Specimen", "Parasite", "Claw", "Toad", "Hive", "Larva Hunter", "Cannibal", "Werebear", "Ooze", "Scorpion", "Mandible"],
        gerunds: &["Feeding", "Outrunning", "Hatching", "Dissecting", "Surviving", "Swallowing"],
    },
    Theme { // film noir
        share: 1.3, era: Era::Classic,
        genres: &[("Film-Noir", 1.0), ("Crime", 0.8), ("Thriller", 0.4), ("Drama", 0.35), ("Mystery", 0.35)],
        adjectives: &["Crooked", "Rain-Soaked", "Velvet", "Blind", "Crimson", "Broken", "Twelfth", "Counterfeit", "Midnight", "Nickel", "Poisoned", "Double"],
        nouns: &["Alibi", "Blonde", "Alley", "Wager", "Cigarette", "Gumshoe", "Bullet", "Stairwell", "Chandelier", "Lipstick", "Bookmaker", "Ledger", "Raincoat", "Stranger", "Telephone", "Debt", "Dame", "Revolver", "Streetlamp", "Pawnbroker"],
        gerunds: &["Framing", "Tailing", "Double-Crossing", "Paying", "Whistling in", "Vanishing from"],
    },
    Theme { // heists and gangs
        share: 4.0, era: Era::Any,
        genres: &[("Crime", 1.0), ("Thriller", 0.5), ("Action", 0.4), ("Drama", 0.4), ("Comedy", 0.3)],
        adjectives: &["Honest", "Loaded", "Bulletproof", "Marked", "Dirty", "Lucky", "Diamond", "Unlucky", "Cold-Blooded", "Forged", "Silk", "Retired"],
        nouns: &["Safecracker", "Getaway", "Forger", "Vault", "Heist", "Gambler", "Racket", "Jewel", "Smuggler", "Bagman", "Swindler", "Poker Hand", "Crew", "Informer", "Payroll", "Kingpin", "Locksmith", "Roulette Wheel", "Pickpocket", "Loan Shark"],
        gerunds: &["Robbing", "Fencing", "Cracking", "Owing", "Stealing from", "Double-Dealing in"],
    },
    Theme { // spies and politics
        share: 3.0, era: Era::Any,
        genres: &[("Thriller", 1.0), ("Action", 0.45), ("Drama", 0.4), ("Mystery", 0.2)],
        adjectives: &["Classified", "Double", "Sleeper", "Neutral", "Red", "Deniable", "Arctic", "Invisible", "Diplomatic", "Scarlet", "Unsigned", "Last"],
        nouns: &["Courier", "Dossier", "Embassy", "Defector", "Checkpoint", "Codebook", "Handler", "Treaty Room", "Agent", "Passport", "Microfilm", "Border", "Consul", "Wiretap", "Ultimatum", "Conspiracy", "Informant", "Blackout", "Attache", "Manifesto"],
        gerunds: &["Decoding", "Defecting from", "Extracting", "Betraying", "Crossing", "Eavesdropping on"],
    },
    Theme { // chases and explosions
        share: 3.8, era: Era::Modern,
        genres: &[("Action", 1.0), ("Thriller", 0.5), ("Adventure", 0.4), ("Crime", 0.3), ("Comedy", 0.2), ("IMAX", 0.07)],
        adjectives: &["Maximum", "Reckless", "Iron", "Full", "Relentless", "Steel", "Terminal", "High-Octane", "Lethal", "Zero", "Concrete", "Unstoppable"],
        nouns: &["Throttle", "Impact", "Convoy", "Runway", "Fist", "Bodyguard", "Detonator", "Backfire", "Mercenary", "Warhead", "Stuntman", "Firestorm", "Torque", "Hijacker", "Highway", "Ricochet", "Bounty", "Freefall", "Juggernaut", "Crossfire"],
        gerunds: &["Torching", "Outgunning", "Hijacking", "Storming", "Escaping", "Demolishing"],
    },
    Theme { // romantic comedies
        share: 5.0, era: Era::Modern,
        genres: &[("Comedy", 1.0), ("Romance", 0.95), ("Drama", 0.15)],
        adjectives: &["Accidental", "Perfectly Awful", "Almost", "Reluctant", "Part-Time", "Unsuitable", "Convenient", "Charming", "Tuesday", "Borrowed", "Second-Hand", "Hopeless"],
        nouns: &["Bridesmaid", "Proposal", "Fiance", "Bouquet", "Florist", "Honeymoon", "Matchmaker", "Cupcake", "Neighbour", "Best Man", "Love Letter", "Roommate", "Blind Date", "Wedding Guest", "Dog Walker", "Kiss", "Valentine", "Ex-Boyfriend", "Dance Partner", "Barista"],
        gerunds: &["Dating", "Marrying", "Forgetting", "Falling for", "Kissing", "Moving to"],
    },
    Theme { // costume romance
        share: 4.0, era: Era::Any,
        genres: &[("Drama", 1.0), ("Romance", 0.95), ("War", 0.08)],
        adjectives: &["Faithful", "Windswept", "Ivory", "Unspoken", "Distant", "Tender", "Gilded", "Lavender", "Unfinished", "Proud", "Evening", "Long"],
        nouns: &["Letter", "Orchard", "Countess", "Waltz", "Garden", "Promise", "Suitor", "Heiress", "Sonnet", "Carriage", "Veil", "Confession", "Manor", "Summer", "Inheritance", "Violinist", "Rose", "Portraitist", "Farewell", "Ballroom"],
        gerunds: &["Remembering", "Awaiting", "Returning to", "Loving", "Courting in", "Leaving"],
    },
    Theme { // families and small towns
        share: 9.0, era: Era::Any,
        genres: &[("Drama", 1.0), ("Romance", 0.1), ("Children", 0.03)],
        adjectives: &["Quiet", "Ordinary", "Paper", "Salt", "Slow", "Empty", "Patient", "Broken", "Winter", "Narrow", "Plain", "Unopened"],
        nouns: &["Kitchen", "Harbour", "Daughter", "Field", "Sister", "Window", "Harvest", "Ferry", "Piano", "Father", "Clock", "Lighthouse", "Funeral", "Village", "Schoolteacher", "Bread Oven", "Stone Wall", "Migration", "River", "Photograph"],
        gerunds: &["Leaving", "Mending", "Carrying", "Forgiving", "Selling", "Coming Home to"],
    },
    Theme { // broad comedy
        share: 6.0, era: Era::Modern,
        genres: &[("Comedy", 1.0), ("Action", 0.1), ("Children", 0.08), ("Musical", 0.04)],
        adjectives: &["Ridiculous", "Overpaid", "Half-Baked", "Unemployed", "Slippery", "Loud", "Totally Fine", "Undercooked", "Slightly Haunted", "Overdue", "Inflatable", "Terrible"],
        nouns: &["Plumber", "Landlord", "Babysitter", "Casserole", "Substitute", "Camper Van", "Lawnmower", "Uncle", "Intern", "Dentist", "Waffle House", "Bowling Team", "Mascot", "Houseboat", "Karaoke Night", "Parking Ticket", "Trombone", "Hiccup", "Donkey", "Salesman"],
        gerunds: &["Babysitting", "Crashing", "Renting", "Suing", "Voting for", "Faking"],
    },
    Theme { // westerns
        share: 1.8, era: Era::Classic,
        genres: &[("Western", 1.0), ("Drama", 0.35), ("Action", 0.3), ("Adventure", 0.3), ("Romance", 0.08)],
        adjectives: &["Dusty", "Lonesome", "Six-Gun", "Dry", "Restless", "Tin", "Sundown", "Branded", "Rattlesnake", "Wide", "Hanging", "Barbed"],
        nouns: &["Stagecoach", "Marshal", "Canyon", "Saddle", "Prairie", "Homesteader", "Outlaw", "Mustang", "Gallow", "Spur", "Ranch", "Deputy", "Trail", "Coyote", "Railroad", "Saloon", "Mesa", "Bounty Man", "Tumbleweed", "Rider"],
        gerunds: &["Riding to", "Avenging", "Burning", "Fencing", "Riding Past", "Taming"],
    },
    Theme { // war
        share: 2.6, era: Era::Any,
        genres: &[("War", 1.0), ("Drama", 0.85), ("Action", 0.4), ("Romance", 0.1), ("Adventure", 0.1)],
        adjectives: &["Forgotten", "Muddy", "Northern", "Fallen", "Silent", "Ragged", "Scattered", "Grey", "Fourth", "Wounded", "Captured", "Unbroken"],
        nouns: &["Regiment", "Trench", "Bugler", "Medic", "Armistice", "Convoy", "Battalion", "Parachute", "Sniper", "Minefield", "Rifleman", "Bridgehead", "Sergeant", "Barricade", "Field Hospital", "Bomber", "Prisoner", "Siege", "Dispatch", "Bayonet"],
        gerunds: &["Holding", "Retreating from", "Defending", "Besieging", "Liberating", "Marching on"],
    },
    Theme { // musicals
        share: 1.5, era: Era::Any,
        genres: &[("Musical", 1.0), ("Comedy", 0.5), ("Romance", 0.5), ("Drama", 0.3), ("Children", 0.1)],
        adjectives: &["Dancing", "Starlit", "Tap-Dancing", "Golden", "Syncopated", "Sparkling", "Barefoot", "Brass", "Swinging", "Footlight", "Sequined", "Singing"],
        nouns: &["Serenade", "Chorus", "Cabaret", "Trumpet", "Showgirl", "Overture", "Melody", "Ballerina", "Encore", "Revue", "Crooner", "Foxtrot", "Spotlight", "Understudy", "Jukebox", "Bandstand", "Rehearsal", "Tambourine", "Matinee", "Duet"],
        gerunds: &["Singing for", "Dancing in", "Serenading", "Rehearsing", "Applauding", "Tapping Through"],
    },
    Theme { // documentaries
        share: 4.2, era: Era::Modern,
        genres: &[("Documentary", 1.0), ("IMAX", 0.06), ("War", 0.05), ("Comedy", 0.04), ("Drama", 0.04)],
        adjectives: &["Secret", "Vanishing", "Hidden", "Living", "Deep", "Wild", "Uncounted", "Migrating", "Unseen", "Invisible", "Endless", "Common"],
        nouns: &["Glacier", "Beekeeper", "Reef", "Archive", "Whale", "Archaeologist", "Savanna", "Mushroom", "Volcano", "Cartographer", "Aquifer", "Typeface", "Election", "Dockworker", "Seed Bank", "Locomotive", "Crane", "Rainforest", "Fossil", "Census"],
        gerunds: &["Counting", "Mapping", "Saving", "Excavating", "Listening to", "Rebuilding"],
    },
    Theme { // growing up, and sport
        share: 3.2, era: Era::Modern,
        genres: &[("Drama", 1.0), ("Comedy", 0.5), ("Children", 0.2), ("Romance", 0.2)],
        adjectives: &["Undefeated", "Bottom-of-the-League", "Barefoot", "Freshman", "Bruised", "Homegrown", "Fastest", "Left-Handed", "Awkward", "Underage", "Saturday", "Unranked"],
        nouns: &["Sprinter", "Goalkeeper", "Skateboard", "Rowing Crew", "Boxer", "Classroom", "Relay", "Cyclist", "Swimmer", "Locker Room", "Graduation", "Cheerleader", "Playground", "Marathon", "Coach", "Bleacher", "Summer Camp", "Detention", "Pitcher", "Spelling Bee"],
        gerunds: &["Coaching", "Outrunning", "Graduating from", "Training in", "Growing Up in", "Beating"],
    },
    Theme { // the sea, jungles, lost cities
        share: 2.4, era: Era::Any,
        genres: &[("Adventure", 1.0), ("Action", 0.5), ("Drama", 0.3), ("Children", 0.15), ("Romance", 0.1), ("IMAX", 0.04)],
        adjectives: &["Sunken", "Emerald", "Cursed", "Uncharted", "Tidal", "Southern", "Jade", "Stormbound", "Castaway", "Scorched", "Hidden", "Coral"],
        nouns: &["Schooner", "Monsoon", "Idol", "Expedition", "Archipelago", "Compass", "Explorer", "Temple", "Galleon", "Whirlpool", "Cataract", "Caravan", "Navigator", "Lagoon", "Treasure Map", "Buccaneer", "Zeppelin", "Oasis Keeper", "Rapids Guide", "Summit"],
        gerunds: &["Sailing to", "Climbing", "Beyond", "Plundering", "Circling", "Navigating"],
    },
    Theme { // whodunits
        share: 2.6, era: Era::Any,
        genres: &[("Mystery", 1.0), ("Crime", 0.6), ("Thriller", 0.5), ("Drama", 0.3), ("Comedy", 0.1)],
        adjectives: &["Curious", "Vanished", "Punctual", "Unreliable", "Missing", "Careful", "Ivory", "Absent", "Third", "Sealed", "Impossible", "Well-Mannered"],
        nouns: &["Witness", "Inspector", "Inkwell", "Butler", "Clue", "Alibi", "Weekend Guest", "Poisoner", "Solicitor", "Conservatory", "Footprint", "Heirloom", "Coroner", "Train Compartment", "Librarian", "Riddle", "Wax Seal", "Vicar", "Suspect", "Chess Problem"],
        gerunds: &["Questioning", "Suspecting", "Disappearing from", "Investigating", "Deducing", "Poisoning"],
    },
];

#[rustfmt::skip]
pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada", "Agnes", "Amara", "Anselm", "Beatrix", "Bram", "Calla", "Casimir", "Clementine", "Dara", "Desmond",
    "Dorothea", "Edmund", "Eloise", "Esther", "Farid", "Felix", "Flora", "Gideon", "Greta", "Harriet", "Hiroko",
    "Ida", "Ignatius", "Imani", "Ines", "Ivor", "Jasper", "Josephine", "Kamal", "Kit", "Leopold", "Lin", "Lucinda",
    "Mabel", "Magnus", "Mireille", "Moses", "Nadia", "Niamh", "Octavia", "Odette", "Otis", "Percival", "Petra",
    "Philippa", "Quentin", "Rafael", "Rosalind", "Rufus", "Saskia", "Solomon", "Sunniva", "Tamsin", "Tobias",
    "Ursula", "Viola", "Wilfred", "Winifred", "Yusuf", "Zelda",
];

#[rustfmt::skip]
pub(super) const SURNAMES: &[&str] = &[
    "Abernethy", "Adeyemi", "Ashgrove", "Barleycorn", "Bellweather", "Blackwood", "Calloway", "Castellane", "Crowhurst",
    "Dunmore", "Eastlake", "Fairweather", "Farrow", "Featherstone", "Galbraith", "Greenaway", "Hallowell", "Hartigan",
    "Hobbs", "Ingersoll", "Jankowski", "Kestenbaum", "Kingfisher", "Lamplighter", "Larkspur", "Lindqvist", "Lockwood",
    "Marchetti", "Merriweather", "Mockridge", "Nakagawa", "Nightingale", "Oduya", "Oldfield", "Pemberton", "Penhallow",
    "Quartermain-Hale", "Quince", "Ravenscroft", "Rosenthal", "Sandoval", "Silverlake", "Stanhope", "Tanaka-Reyes",
    "Thistlewood", "Trevelyan", "Underhill", "Vandermeer", "Wainwright", "Whitlock", "Winterbourne", "Yardley",
];

#[rustfmt::skip]
pub(super) const PLACE_STARTS: &[&str] = &[
    "Alder", "Amber", "Ash", "Birch", "Brack", "Cinder", "Corran", "Dun", "Elder", "Fen", "Fern", "Gild", "Hal", "Hollow",
    "Ivers", "Kestrel", "Lark", "Marrow", "Mere", "Nether", "Oster", "Pender", "Quill", "Raven", "Salt", "Tarn", "Thorn",
    "Umber", "Vesper", "Wend", "Whit", "Yarrow",
];

#[rustfmt::skip]
pub(super) const PLACE_ENDS: &[&str] = &[
    "bridge", "by", "combe", "cross", "dale", "fell", "field", "ford", "gate", "haven", "holm", "low", "moor", "mouth",
    "ness", "stead", "wick",
];

#[rustfmt::skip]
pub(super) const NICKNAMES: &[&str] = &[
    "Whistler", "Two-Step", "Buttons", "The Owl", "Sunday", "Lucky Penny", "Gravel", "Doc", "Matches", "Small Change",
];

#[rustfmt::skip]
pub(super) const NUMBERS: &[&str] = &[
    "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Eleven", "Thirteen", "Forty", "Ninety-Nine",
    "A Hundred", "A Thousand",
];

#[rustfmt::skip]
pub(super) const VERBS: &[&str] = &[
    "Return", "Wait", "Fall Silent", "Sing", "Burn", "Sleep", "Come Home", "Disappear", "Turn Around", "Remember",
];

#[rustfmt::skip]
pub(super) const CALLS: &[&str] = &[
    "Hush", "Wake Up", "Run Along", "Good Luck", "Hold the Line", "Not Today", "Answer Me", "Come Back Soon", "Mind the Step",
    "After You", "One More Time", "Never Mind",
];

#[rustfmt::skip]
pub(super) const TIMES: &[&str] = &[
    "April", "August", "Autumn", "Christmas", "Daybreak", "December", "Nightfall", "One Summer", "Sunday Morning",
    "Thursday Night", "Twilight", "Winter",
];

/// The original language of some films.
#[derive(Debug, Clone, Copy)]
pub(super) struct Language {
    /// The preposition between a noun and a place: "de", "von".
    pub(super) of: &'static str,
    /// Whether its vowel is elided before another.
    pub(super) elides: bool,
    pub(super) and: &'static str,
    /// Article, noun, English noun.
    pub(super) nouns: &'static [(&'static str, &'static str, &'static str)],
    pub(super) places: &'static [&'static str],
}

#[rustfmt::skip]
pub(super) const LANGUAGES: &[Language] = &[
    Language {
        of: "de",
        elides: true,
        and: "et",
        nouns: &[
            ("La", "lumière", "Light"), ("Le", "théâtre", "Theatre"), ("La", "forêt", "Forest"), ("La", "rivière", "River"),
            ("Le", "rêve", "Dream"), ("La", "fenêtre", "Window"), ("Le", "phare", "Lighthouse"), ("La", "fiancée", "Fiancée"),
            ("Le", "pêcheur", "Fisherman"), ("La", "boulangère", "Baker"), ("Les", "hirondelles", "Swallows"), ("Le", "café", "Café"),
            ("Les", "écoliers", "Schoolboys"), ("La", "neige", "Snow"), ("Les", "cloches", "Bells"),
        ],
        places: &["Valmorin", "Saint-Éloy-sur-Brume", "Montclairet", "Bellefosse", "Château-Loriot", "Rochebrune-les-Pins", "Aubérac", "Pontaligny", "Clérivaux", "Marsanne-le-Vieux"],
    },
    Language {
        of: "de",
        elides: false,
        and: "y",
        nouns: &[
            ("La", "estación", "Station"), ("El", "corazón", "Heart"), ("La", "montaña", "Mountain"), ("El", "jardín", "Garden"),
            ("Los", "niños", "Children"), ("La", "canción", "Song"), ("El", "baúl", "Trunk"), ("El", "huésped", "Guest"),
            ("La", "última noche", "Last Night"), ("Las", "campanas", "Bells"), ("El", "faro", "Lighthouse"), ("La", "señora", "Lady"),
            ("El", "árbol", "Tree"), ("La", "lámpara", "Lamp"), ("El", "pájaro", "Bird"),
        ],
        places: &["Almudévar del Río", "Peñarrubia", "Villanieve", "San Telmo Viejo", "Río Quebrado", "Alcorán", "Monteverdejo", "Puerto Lirio", "Valdeluces", "Santa Jacinta"],
    },
    Language {
        of: "von",
        elides: false,
        and: "und",
        nouns: &[
            ("Die", "Brücke", "Bridge"), ("Der", "Müller", "Miller"), ("Das", "Mädchen", "Girl"), ("Der", "König", "King"),
            ("Die", "Glocken", "Bells"), ("Der", "Uhrmacher", "Watchmaker"), ("Die", "Gärtnerin", "Gardener"), ("Das", "Licht", "Light"),
            ("Der", "Fährmann", "Ferryman"), ("Die", "Straßen", "Streets"), ("Die", "Kinder", "Children"), ("Der", "Schlüssel", "Key"),
            ("Die", "Nächte", "Nights"), ("Das", "Märchen", "Fairy Tale"), ("Der", "Wächter", "Watchman"),
        ],
        places: &["Ostermoor", "Königsfurt", "Grünwalde", "Altenbrück", "Schönhafen", "Mühlental", "Lindenau am See", "Birkenwerth", "Kaltenstein", "Nebelfeld"],
    },
    Language {
        of: "från",
        elides: false,
        and: "och",
        nouns: &[
            ("", "Flickan", "Girl"), ("", "Fyren", "Lighthouse"), ("", "Sångaren", "Singer"), ("", "Läkaren", "Doctor"),
            ("", "Brevbäraren", "Postman"), ("", "Skräddaren", "Tailor"), ("", "Änkan", "Widow"), ("", "Främlingen", "Stranger"),
            ("", "Snögubben", "Snowman"), ("", "Båten", "Boat"),
        ],
        places: &["Örnvik", "Håkansund", "Björkö Strand", "Åselund", "Måsholmen", "Tjärby", "Granfjäll", "Älvsjönäs"],
    },
];

/// The value in MovieLens for films without genres.
pub(super) const NO_GENRES: &str = "(no genres listed)";
