using GatedFwa.Checkpoints;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;
using GatedFwa.Training.Optimizers;

namespace GatedFwa.Training.Runs;

/// <summary>The files of a run.</summary>
/// <remarks>
/// <para><c>training_state.safetensors</c> alone decides where a run stands: it holds weights, moments and, as metadata, the
/// <see cref="RunState"/>, and replaces the one before in a single rename. A kill between any two operations on files therefore
/// finds either the old checkpoint or the new one, never a mixture.</para>
/// <para>The rest follows from it and is written after it: the model as others read it, the state for people, the curves. After
/// a kill they may be one checkpoint behind, each whole; resuming writes them anew.</para>
/// <para>The checkpoint of step 0 has no numbers: weights follow from the seed, moments are zero, and a large model would spend
/// more time on writing them than on its first steps. Model and curves are published once a later step is saved.</para>
/// <para><c>run.lock</c> is there while a process trains.</para>
/// </remarks>
internal sealed class RunFolder(string path)
{
    private const string StateKey = "training_state";

    public string Path { get; } = path;

    public string Metrics => In("metrics.jsonl");

    public bool HasCheckpoint => File.Exists(Weights);

    private string Weights => In("training_state.safetensors");

    private string Description => In("training_state.json");

    private string Chart => In("loss.svg");

    /// <summary>Refuses a folder in which a new run would replace what is there: a run, or a model that someone copied.</summary>
    /// <exception cref="InputException">It holds such files; the message names one.</exception>
    public void RefuseToReplace()
    {
        if (HasCheckpoint)
        {
            throw new InputException(
                $"The folder \"{Path}\" holds a run already; continue it with --resume, or name another folder with --output.");
        }

        string[] model = [In(ModelDirectory.ConfigFile), In(ModelDirectory.WeightsFile), In(ModelDirectory.TokenizerFile)];
        string[] published = [.. model, Description, Chart, Metrics];
        // A run that was killed before its first checkpoint leaves empty metrics.
        if (published.FirstOrDefault(file => new FileInfo(file) is { Exists: true, Length: > 0 }) is { } taken)
        {
            throw new InputException(
                $"A run would replace the file \"{taken}\", which belongs to no run; move it away, or name another folder with --output.");
        }
    }

    /// <summary>Refuses a folder without a run.</summary>
    /// <exception cref="InputException">There is none.</exception>
    public void RequireCheckpoint()
    {
        if (!HasCheckpoint)
        {
            throw new InputException(
                $"There is no run to resume in \"{Path}\"; leave --resume out to start one, or name its folder with --output.");
        }
    }

    /// <summary>Makes a checkpoint the one that counts.</summary>
    /// <exception cref="InputException">It cannot be written; the one before still counts.</exception>
    public void Commit(RunState state, AdamW optimizer)
    {
        (string Name, Tensor Tensor)[] tensors = [.. Tensors(optimizer)];
        bool isFirst = state.Step == 0;
        // Better now than after an hour.
        if (isFirst)
        {
            // Of the checkpoint, and of the model beside it.
            long numbers = tensors.Sum(entry => entry.Tensor.Count) + optimizer.Parameters.Sum(parameter => parameter.Value.Count);
            AtomicFile.RequireRoom(Weights, numbers * sizeof(float));
        }

        SafetensorsWriter.Write(
            Weights,
            isFirst ? [] : tensors.Select(entry => SafetensorsTensor.From(entry.Name, entry.Tensor)),
            new Dictionary<string, string> { [StateKey] = StrictJson.Write(state, RunJson.Default.RunState) });
    }

    /// <summary>Writes what follows from a checkpoint.</summary>
    /// <param name="state">The checkpoint's state.</param>
    /// <param name="model">The model as it is there.</param>
    /// <param name="metrics">The steps up to there.</param>
    /// <param name="isFirst">Whether the files that never change in a run may be missing.</param>
    /// <exception cref="InputException">It cannot be written; the checkpoint itself is safe.</exception>
    public void Publish(RunState state, LanguageModel model, IReadOnlyList<MetricsLine> metrics, bool isFirst)
    {
        bool isOfText = state.Options.Task is null;
        if (isFirst) ModelDirectory.SaveSettings(Path, model.Config, isOfText ? new ByteTokenizer() : null);
        if (state.Step > 0) ModelDirectory.SaveWeights(In(ModelDirectory.WeightsFile), model);
        AtomicFile.WriteText(Description, StrictJson.Write(state, RunJson.Default.RunState));
        if (state.Step > 0 && state.BaselineBitsPerByte is { } baseline)
            AtomicFile.WriteText(Chart, LossChart.Draw(metrics, state.Options.Steps, baseline));
    }

    /// <summary>What the checkpoint says of the run.</summary>
    /// <exception cref="InputException">There is no checkpoint, or it is damaged.</exception>
    public RunState ReadState()
    {
        using SafetensorsFile file = Open();
        return ReadState(file);
    }

    /// <summary>Sets weights and moments from the checkpoint.</summary>
    /// <exception cref="InputException">It is damaged, or of another model.</exception>
    public void Restore(AdamW optimizer)
    {
        using SafetensorsFile file = Open();
        file.Verify();
        foreach ((string name, Tensor tensor) in Tensors(optimizer)) tensor.CopyFrom(file.ReadFloats(name));
        optimizer.Steps = ReadState(file).Step;
    }

    private SafetensorsFile Open()
    {
        RequireCheckpoint();
        return SafetensorsFile.Open(Weights);
    }

    private RunState ReadState(SafetensorsFile file)
    {
        RunState? state = file.Metadata.TryGetValue(StateKey, out string? json) ? StrictJson.Parse<RunState>(json, Weights) : null;
        if (state is { Step: >= 0, MetricsBytes: >= 0 } && state.Step <= state.Options.Steps) return state;
        throw new InputException($"The file \"{Weights}\" is no checkpoint of a run; restore it, or start a new run in another folder.");
    }

    private static IEnumerable<(string Name, Tensor Tensor)> Tensors(AdamW optimizer)
    {
        for (int i = 0; i < optimizer.Parameters.Count; i++)
        {
            string name = optimizer.Parameters[i].Name;
            yield return ("weights." + name, optimizer.Parameters[i].Value);
            yield return ("means." + name, optimizer.Means[i]);
            yield return ("squares." + name, optimizer.Squares[i]);
        }
    }

    private string In(string name) => System.IO.Path.Combine(Path, name);
}
