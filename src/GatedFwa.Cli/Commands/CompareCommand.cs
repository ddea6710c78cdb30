using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using GatedFwa.Cli.Commands.Compare;
using GatedFwa.Cli.Commands.Training;
using GatedFwa.Models;
using GatedFwa.Training;
using GatedFwa.Training.Comparisons;
using GatedFwa.Training.Data;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa compare</c>: several mixers on the same text.</summary>
internal sealed class CompareCommand
{
    // Enough for a curve.
    private const int Measurements = 12;

    private readonly Argument<string[]> _texts = new("text") { Description = TrainingText.Description, Arity = ArgumentArity.ZeroOrMore };

    private readonly Option<string> _output = new("--output", "--out")
    {
        Description = "The folder of the comparison.",
        HelpName = "DIR",
        DefaultValueFactory = _ => "runs/compare",
    };

    private readonly Option<bool> _resume = new("--resume")
    {
        Description = "Go on with the comparison in that folder: what is finished is kept, mixers and seeds that are new are added.",
    };

    private readonly Option<Mixer[]?> _mixers = new("--mixers")
    {
        Description = $"What to compare, separated by commas: {string.Join(", ", Mixer.All.Select(mixer => mixer.Name))}. [default: all]",
        HelpName = "NAME,…",
        CustomParser = result => ParseList(result, Mixer.Parse),
    };

    private readonly Option<ulong[]?> _seeds = new("--seeds")
    {
        Description = "Train each mixer once with each of these seeds, which name the weights and the order of the text; " +
            "the first draws what is held out. [default: 0]",
        HelpName = "N,…",
        CustomParser = result => ParseList(result, ParseSeed),
    };

    private readonly ModelOptions _model = new();
    private readonly ScheduleOptions _schedule = new(compares: true);
    private readonly PlaceOptions _place = new();
    private readonly Option<bool> _json = SharedOptions.Json();

    public static Command Create() => new CompareCommand().Build();

    private Command Build()
    {
        var command = new Command(
            "compare",
            "Trains one model with several mixers, on the same text in the same order, and writes what each has shown into one table and " +
            "one chart.")
        {
            _texts, _output, _resume, _mixers, _seeds,
        };
        _schedule.AddTo(command);
        _model.AddTo(command, withMixer: false);
        _place.AddTo(command);
        command.Options.Add(_json);
        command.SetAction(Run);
        return command.WithExamples(
            ("Every mixer on the documentation of the .NET SDK:", "gatedfwa compare --output runs/compare"),
            ("Two mixers, three seeds, your own text:", "gatedfwa compare books/ --mixers window,gatedfwa --seeds 0,1,2 --steps 600"),
            ("Go on after an interruption, or add a mixer:", "gatedfwa compare --resume --output runs/compare --mixers full"),
            ("On the first NVIDIA GPU:", "gatedfwa compare --device cuda --preset tiny --batch 32 --context 1024 --window 256"));
    }

    private int Run(ParseResult result)
    {
        using var interruption = new Interruption();
        TrainingPlace place = _place.Use(result);
        (Comparison comparison, ComparisonOptions options) = result.GetValue(_resume) ? Resume(result, place) : Start(result, place);
        var view = new ComparisonView(comparison, options);
        ComparisonResult outcome = comparison.Run(view, interruption.Token);
        if (result.GetValue(_json)) JsonOutput.Write(ComparisonReport.ToDocument(outcome));
        else ComparisonReport.Print(outcome);
        return interruption.ExitCode != 0 && !outcome.Completed ? interruption.ExitCode : view.FailureCode;
    }

    private (Comparison Comparison, ComparisonOptions Options) Start(ParseResult result, TrainingPlace place)
    {
        string output = result.GetValue(_output)!;
        // Before the text is read, which can take a while.
        Comparison.CheckOutput(output);
        TrainerOptions training = _schedule.Change(new TrainerOptions { Output = output, Data = result.GetValue(_texts) ?? [] }, result);
        var options = new ComparisonOptions
        {
            Mixers = Named(result, _mixers) ?? Mixer.All,
            Seeds = Named(result, _seeds) ?? [0],
            Model = _model.Build(result),
            Training = training,
            Machine = place.MachineInWords,
        };
        DocumentSplit data = Read(options, place);
        if (!_schedule.NamesSteps(result)) training = training.FittedTo(data.Training);
        if (!_schedule.NamesEvaluation(result))
            training = training with { EvaluationInterval = (training.Steps + Measurements - 1) / Measurements };
        options = options with { Training = training };
        return (Comparison.Start(options, data, place.Device, place.Activations), options);
    }

    private (Comparison Comparison, ComparisonOptions Options) Resume(ParseResult result, TrainingPlace place)
    {
        ComparisonOptions saved = Comparison.ReadSettings(result.GetValue(_output)!);
        TrainerOptions training = _schedule.Change(saved.Training, result);
        if (result.GetValue(_texts) is { Length: > 0 } texts) training = training with { Data = texts };
        var options = new ComparisonOptions
        {
            Mixers = Named(result, _mixers) ?? saved.Mixers,
            Seeds = Named(result, _seeds) ?? saved.Seeds,
            Model = _model.NamesPreset(result) ? _model.Build(result) : _model.Change(saved.Model, result),
            Training = training,
            Machine = place.MachineInWords,
        };
        // What is held out was drawn when the comparison began.
        DocumentSplit data = Read(options with { Seeds = saved.Seeds }, place);
        return (Comparison.Resume(options, data, place.Device, place.Activations), options);
    }

    private static DocumentSplit Read(ComparisonOptions options, TrainingPlace place)
    {
        TrainingMemory.Check(options.Model, options.Training, place);
        return TrainingText.Read(options.Training.Data, options.Seeds[0]);
    }

    private static T[]? Named<T>(ParseResult result, Option<T[]?> option) =>
        result.GetValue(option) is { Length: > 0 } named ? named : null;

    private static ulong ParseSeed(string name) =>
        ulong.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out ulong seed)
            ? seed
            : throw new InputException($"--seeds: '{name}' is no seed; give whole numbers of at least 0, separated by commas.");

    private static T[]? ParseList<T>(ArgumentResult result, Func<string, T> parse)
    {
        try
        {
            return [.. result.Tokens.SelectMany(token => token.Value.Split(',')).Select(parse)];
        }
        catch (InputException exception)
        {
            result.AddError(exception.Message);
            return null;
        }
    }
}
