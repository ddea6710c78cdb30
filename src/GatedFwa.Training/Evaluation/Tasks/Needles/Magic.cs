using System.Globalization;

namespace GatedFwa.Training.Evaluation.Tasks.Needles;

/// <summary>What keys and values of RULER's needles are made of.</summary>
internal enum Magic
{
    /// <summary>Seven digits.</summary>
    Numbers,

    /// <summary>An adjective and a noun.</summary>
    Words,

    /// <summary>A random UUID (version 4).</summary>
    Uuids,
}

/// <summary>Draws keys and values.</summary>
internal static class MagicDice
{
    private const int SmallestNumber = 1_000_000, LargestNumber = 9_999_999;

    private static readonly string[] Adjectives =
    [
        "ample", "amber", "brave", "brisk", "calm", "careful", "cheerful", "clever", "cold", "copper", "cosy", "crisp", "curious", "dapper",
        "deep", "dusty", "eager", "early", "elastic", "empty", "faint", "famous", "fancy", "fearless", "fierce", "floral", "frozen",
        "gentle", "giant", "glad", "golden", "grand", "happy", "hasty", "hidden", "hollow", "honest", "humble", "icy", "idle", "jolly",
        "keen", "kind", "large", "lively", "lofty", "lonely", "loud", "lucky", "marble", "mellow", "mighty", "misty", "modest", "narrow",
        "neat", "nimble", "noble", "odd", "olive", "patient", "plain", "polite", "proud", "purple", "quick", "quiet", "rapid", "rare",
        "rosy", "rough", "round", "royal", "rusty", "salty", "scarlet", "shiny", "shy", "silent", "silver", "simple", "sleepy", "slow",
        "smooth", "solid", "sour", "steady", "steep", "stormy", "sunny", "sweet", "swift", "tall", "tame", "tender", "tidy", "tiny", "vast",
        "velvet", "warm", "wide", "wild", "windy", "wise", "witty", "wooden", "young", "zesty",
    ];

    private static readonly string[] Nouns =
    [
        "acorn", "anchor", "apple", "arrow", "badger", "bakery", "balcony", "banjo", "barrel", "basket", "beacon", "bell", "blanket",
        "boat", "bottle", "bridge", "brook", "broom", "bucket", "button", "cabin", "candle", "canyon", "carpet", "castle", "cellar",
        "chimney", "circle", "cliff", "cloud", "comet", "compass", "cottage", "cradle", "cricket", "curtain", "dagger", "desert", "dolphin",
        "donkey", "drum", "eagle", "engine", "falcon", "feather", "fence", "fiddle", "forest", "fountain", "garden", "glacier", "goblet",
        "hammer", "harbour", "harvest", "helmet", "hermit", "horizon", "island", "jacket", "jungle", "kettle", "kitten", "ladder",
        "lantern", "lemon", "lighthouse", "lizard", "magnet", "market", "meadow", "mirror", "mountain", "needle", "ocean", "orchard",
        "otter", "oven", "paddle", "parrot", "pebble", "pencil", "pepper", "pillow", "planet", "pocket", "puddle", "quarry", "rabbit",
        "ribbon", "river", "rocket", "saddle", "sailor", "shadow", "shepherd", "spoon", "stable", "summit", "tailor", "teapot", "temple",
        "thunder", "ticket", "tower", "trumpet", "tunnel", "turtle", "valley", "village", "violin", "wagon", "walnut", "whistle", "willow",
        "window", "zebra",
    ];

    /// <summary>Draws one.</summary>
    public static string Draw(this Dice dice, Magic kind) => kind switch
    {
        Magic.Numbers => (SmallestNumber + dice.Below(LargestNumber - SmallestNumber + 1)).ToString(CultureInfo.InvariantCulture),
        Magic.Words => $"{dice.Among(Adjectives)}-{dice.Among(Nouns)}",
        _ => Uuid(dice.Bits(), dice.Bits()),
    };

    /// <summary>Draws one that is not among others.</summary>
    public static string Draw(this Dice dice, Magic kind, IReadOnlyCollection<string> taken)
    {
        string drawn;
        do drawn = dice.Draw(kind);
        while (taken.Contains(drawn));
        return drawn;
    }

    private static string Uuid(ulong high, ulong low)
    {
        high = (high & ~0xF000UL) | 0x4000; // Version 4.
        low = (low & (ulong.MaxValue >> 2)) | (1UL << 63); // RFC 9562's variant.
        return $"{high >> 32:x8}-{(high >> 16) & 0xFFFF:x4}-{high & 0xFFFF:x4}-{low >> 48:x4}-{low & 0xFFFF_FFFF_FFFF:x12}";
    }
}
