using System.CommandLine;
using GatedFwa.Cli.Commands.Training;
using GatedFwa.Models;
using GatedFwa.Training;
using GatedFwa.Training.Data;
using GatedFwa.Training.Tasks;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa train</c>: from text, or from a task, to a model.</summary>
internal sealed class TrainCommand
{
    private readonly Option<string[]> _data = new("--data")
    {
        Description = TrainingText.Description,
        HelpName = "PATH",
        AllowMultipleArgumentsPerToken = true,
    };

    private readonly Option<string?> _output = new("--output")
    {
        Description = "The folder of the run. [default: runs/PRESET, or runs/TASK-MIXER]",
        HelpName = "DIR",
    };

    private readonly Option<bool> _resume = new("--resume")
    {
        Description = "Go on with the run in that folder, exactly as if it had never stopped.",
    };

    private readonly RecallOptions _task = new();
    private readonly ModelOptions _model = new();
    private readonly ScheduleOptions _schedule = new();
    private readonly PlaceOptions _place = new();
    private readonly Option<bool> _json = SharedOptions.Json();

    public static Command Create() => new TrainCommand().Build();

    private Command Build()
    {
        var command = new Command(
            "train",
            "Trains a language model on text, or on a task of recall. Without any flag: a small one, on text that every .NET SDK brings, " +
            "in under two minutes.")
        {
            _data, _output, _resume,
        };
        _task.AddTo(command, insteadOf: _data);
        _schedule.AddTo(command);
        _model.AddTo(command);
        _place.AddTo(command);
        command.Options.Add(_json);
        command.SetAction(Run);
        return command.WithExamples(
            ("Train a small model on the documentation of the .NET SDK:", "gatedfwa train"),
            ("Train on your own text:", "gatedfwa train --data books/ 'notes/**/*.md' --output runs/mine --steps 3000"),
            ("Go on after an interruption:", "gatedfwa train --resume --output runs/mine"),
            ("Train on the first NVIDIA GPU:", "gatedfwa train --device cuda --preset small --batch 8 --context 4096"),
            ("The same size as a plain sliding-window model, to compare:", "gatedfwa train --mixer window --output runs/plain"),
            ("How well does a mixer recall? A task instead of text:", "gatedfwa train --task mqar --mixer gatedfwa"),
            ("Keys that are written again, and a window that reaches:", "gatedfwa train --task forgetting-mqar --window 64"));
    }

    private int Run(ParseResult result)
    {
        using var interruption = new Interruption();
        TrainingPlace place = _place.Use(result);
        using Trainer trainer = result.GetValue(_resume) ? Resume(result, place) : Start(result, place);
        TrainingResult outcome = TrainingView.Watch(report => trainer.Run(report, interruption.Token));
        string output = Output(result);
        if (outcome.Completed)
        {
            bool json = result.GetValue(_json);
            if (trainer.Options.Task is { } task) RecallView.Write(task, trainer.Model.Config, outcome, output, json);
            else TrainingSummary.Write(trainer.Model, outcome, output, json);
            return ExitCode.Success;
        }

        Console.Error.WriteLine(
            $"Stopped after step {Words.Count(outcome.Step)} of {Words.Count(outcome.Steps)} and saved it. To go on: " +
            $"{Invocation.Name} train --resume --output {output}");
        return interruption.ExitCode;
    }

    private string Output(ParseResult result)
    {
        if (result.GetValue(_output) is { } given) return given;
        if (_task.Name(result) is not { } task) return $"runs/{_model.Preset(result)}";
        return _model.MixerName(result) is { } mixer ? $"runs/{task}-{mixer}" : $"runs/{task}";
    }

    private Trainer Start(ParseResult result, TrainingPlace place)
    {
        RecallTask? task = _task.Build(result, _schedule.Context(result));
        ModelConfig model = _model.Build(result, task);
        TrainerOptions options = task?.Options(_schedule.Batch(result)) ?? new TrainerOptions { Data = result.GetValue(_data) ?? [] };
        options = _schedule.Change(options with { Output = Output(result) }, result);
        // Before the text is read, which can take a while.
        Trainer.CheckOutput(options.Output);
        ITrainingData data = Read(options, model, place);
        if (data is DocumentSplit text && !_schedule.NamesSteps(result)) options = options.FittedTo(text.Training);
        return Trainer.Start(model, options, data, place.Device, place.Activations);
    }

    private Trainer Resume(ParseResult result, TrainingPlace place)
    {
        (ModelConfig model, TrainerOptions options) = Trainer.ReadSettings(Output(result));
        if (result.GetValue(_data) is { Length: > 0 } data)
        {
            if (options.Task is { } learned)
            {
                throw new InputException(
                    $"The run in \"{options.Output}\" learns {learned.Name}, not a text; " +
                    "resume without --data, or start a new run in another folder.");
            }

            options = options with { Data = data };
        }

        // Beside a named folder a preset is a claim about the run in it; alone it only says which folder is meant.
        bool claimsPreset = result.GetValue(_output) is not null && _model.NamesPreset(result);
        model = claimsPreset ? _model.Build(result, options.Task) : _model.Change(model, result);
        options = _schedule.Change(options with { Task = _task.Claim(options, result) }, result);
        Trainer trainer = Trainer.Resume(model, options, Read(options, model, place), place.Device, place.Activations);
        Console.Error.WriteLine($"Going on after step {Words.Count(trainer.Step)}.");
        return trainer;
    }

    private static ITrainingData Read(TrainerOptions options, ModelConfig model, TrainingPlace place)
    {
        void CheckMemory() => TrainingMemory.Check(model, options, place);
        if (options.Task is { } task)
        {
            CheckMemory();
            RecallView.Announce(task, model);
            Console.Error.WriteLine(Model(model));
            return task;
        }

        // The check opens the GPU, which takes a while, too.
        DocumentSplit split = TrainingText.Read(options.Data, options.Seed, meanwhile: CheckMemory);
        Console.Error.WriteLine(Model(model));
        return split;
    }

    private static string Model(ModelConfig model) => $"Model: {ModelWords.Size(model)}; {ModelWords.Attention(model)}.";
}
