using System.CommandLine;
using GatedFwa.Models;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Cli.Commands.Training;

/// <summary>The flags that describe a model: a preset and whatever is to be different from it.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string> _preset = new("--preset")
    {
        Description =
            "The size to begin with: nano (3 × 96), tiny (6 × 384), small (12 × 768) or, for tasks, zoology (2 × 64, attention alone).",
        HelpName = "nano|tiny|small|zoology",
        DefaultValueFactory = _ => "nano",
    };

    private readonly Option<int?> _layers = Size("--layers", "Blocks of attention and feed-forward.");
    private readonly Option<int?> _width = Size("--width", "Features of a token.");
    private readonly Option<int?> _heads = Size("--heads", "Query heads; width / heads must be a multiple of 8 up to 256.");
    private readonly Option<int?> _keyHeads =
        SharedOptions.Count("--key-heads", "Key and value heads, a divisor of the query heads.", "as many");

    private readonly Option<int?> _window = Size("--window", "Keys that a token sees in each layer, its own included.");

    private readonly Option<bool> _fullAttention = new("--full-attention")
    {
        Description = "Let every token see all earlier ones instead of a window.",
    };

    private readonly Option<string?> _mixer = new Option<string?>("--mixer")
    {
        Description =
            $"How tokens see each other: {string.Join("; ", Mixer.All.Select(mixer => $"{mixer.Name}, {mixer.Description}"))}. " +
            "[default: the preset's]",
        HelpName = string.Join('|', Mixer.All),
    }.AcceptOnlyFromAmong([.. Mixer.All.Select(mixer => mixer.Name)]);

    private readonly Option<string?> _gate = Switch("--gate", "The learned decay.");
    private readonly Option<string?> _nativeSparse = Switch(
        "--native-sparse", "Look back beyond the window, at means of blocks and at the tokens of the best blocks.", whenLeftOut: "off");

    private readonly Option<int?> _blockSize = Size("--block-size", "Tokens of a block of native sparse attention. [default: 64]");
    private readonly Option<int?> _blockCount = Size("--block-count", "Blocks whose tokens a query sees. [default: 16]");
    private readonly Option<string?> _tokenShift = Switch("--token-shift", "Mix keys and values with those of the token before.");
    private readonly Option<string?> _qkNorm = Switch("--qk-norm", "Normalise queries and keys.");
    private readonly Option<string?> _rotary = Switch("--rotary", "Rotate queries and keys by their position.");

    private readonly Option<float?> _dropout = new("--dropout")
    {
        Description = "The share of features dropped while training.",
        HelpName = "P",
    };

    private bool _hasMixer = true;

    private Option[] All =>
    [
        _preset, _layers, _width, _heads, _keyHeads, _window, _mixer, _fullAttention, _gate, _nativeSparse, _blockSize, _blockCount,
        _tokenShift, _qkNorm, _rotary, _dropout,
    ];

    private Option[] OfTheMixer => [_mixer, _fullAttention, _gate, _nativeSparse];

    /// <summary>Adds the flags to a command.</summary>
    /// <param name="command">The command.</param>
    /// <param name="withMixer">Whether with those that decide what a token sees of the others and how.</param>
    public void AddTo(Command command, bool withMixer = true)
    {
        _preset.AcceptOnlyFromAmong("nano", "tiny", "small", "zoology");
        _hasMixer = withMixer;
        foreach (Option option in withMixer ? All : All.Except(OfTheMixer)) command.Options.Add(option);
        command.Validators.Add(result =>
        {
            if (result.GetResult(_window) is not null && result.GetResult(_fullAttention) is not null)
                result.AddError("--window and --full-attention exclude each other.");
            if (result.GetResult(_mixer) is null) return;
            Option[] covered = [_fullAttention, _gate, _nativeSparse];
            if (covered.FirstOrDefault(option => result.GetResult(option) is { Implicit: false }) is { } other)
                result.AddError($"{other.Name} says again what --mixer says; leave one of them out.");
        });
    }

    /// <summary>The name of the preset.</summary>
    public string Preset(ParseResult result) => result.GetValue(_preset)!;

    /// <summary>The name of the mixer, where one is named.</summary>
    public string? MixerName(ParseResult result) => result.GetValue(_mixer);

    /// <summary>Whether the preset was named, not left to its default.</summary>
    public bool NamesPreset(ParseResult result) => result.GetResult(_preset) is { Implicit: false };

    /// <summary>The model that the flags describe.</summary>
    /// <param name="result">The command line.</param>
    /// <param name="task">The task that it is to learn; bytes of text without one.</param>
    /// <exception cref="InputException">They make no model.</exception>
    public ModelConfig Build(ParseResult result, RecallTask? task = null)
    {
        string preset = task is null || NamesPreset(result) ? Preset(result) : "zoology";
        return Change(ModelConfig.Preset(preset) with { VocabularySize = task?.VocabularySize ?? ByteTokenizer.VocabularySize }, result);
    }

    /// <summary>A configuration with the flags that were given in place of its values.</summary>
    /// <exception cref="InputException">They make no model.</exception>
    public ModelConfig Change(ModelConfig config, ParseResult result)
    {
        config = config with
        {
            Layers = result.GetValue(_layers) ?? config.Layers,
            Width = result.GetValue(_width) ?? config.Width,
            Heads = result.GetValue(_heads) ?? config.Heads,
            Window = result.GetValue(_fullAttention) ? null : result.GetValue(_window) ?? config.Window,
            Gate = IsOn(result, _gate) ?? config.Gate,
            NativeSparse = IsOn(result, _nativeSparse) switch
            {
                true => config.NativeSparse ?? new(),
                false => null,
                null => config.NativeSparse,
            },
            TokenShift = IsOn(result, _tokenShift) ?? config.TokenShift,
            QkNorm = IsOn(result, _qkNorm) ?? config.QkNorm,
            Rotary = IsOn(result, _rotary) ?? config.Rotary,
            Dropout = result.GetValue(_dropout) ?? config.Dropout,
        };
        // Only where it was given: otherwise it follows the number of heads.
        if (result.GetValue(_keyHeads) is { } keyHeads) config = config with { KeyHeads = keyHeads };
        if (MixerName(result) is { } mixer)
        {
            config = Mixer.Parse(mixer).In(config);
            if (config.Window is null && result.GetValue(_window) is not null)
                throw new InputException($"--mixer {mixer} has no window; leave --window out, or use another mixer.");
        }

        return ChangeBlocks(config, result).Validate();
    }

    private ModelConfig ChangeBlocks(ModelConfig config, ParseResult result)
    {
        (int? size, int? count) = (result.GetValue(_blockSize), result.GetValue(_blockCount));
        if (size is null && count is null) return config;
        // Where mixers come later, the blocks are for those that want them.
        NativeSparseConfig sparse = config.NativeSparse ?? (_hasMixer
            ? throw new InputException("This model has no blocks; use --native-sparse on, or leave --block-size and --block-count out.")
            : new());
        return config with { NativeSparse = new() { BlockSize = size ?? sparse.BlockSize, BlockCount = count ?? sparse.BlockCount } };
    }

    private static Option<int?> Size(string name, string description) => SharedOptions.Count(name, description, "the preset's");

    private static Option<string?> Switch(string name, string description, string whenLeftOut = "on")
    {
        var option = new Option<string?>(name) { Description = $"{description} [default: {whenLeftOut}]", HelpName = "on|off" };
        option.AcceptOnlyFromAmong("on", "off");
        return option;
    }

    private static bool? IsOn(ParseResult result, Option<string?> option) =>
        result.GetValue(option) switch { null => null, "on" => true, _ => false };
}
