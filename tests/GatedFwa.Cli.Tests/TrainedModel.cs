namespace GatedFwa.Cli.Tests;

/// <summary>A model trained once for all tests of a class.</summary>
public sealed class TrainedModel : IDisposable
{
    public TrainedModel()
    {
        Directory.CreateDirectory(Folder);
        TinyRun.WriteCorpus(Folder);
        Training = Cli.Run(Folder, [], TinyRun.Train("model", steps: 150, "--lr", "0.01", "--evaluate-every", "50"));
    }

    /// <summary>Where the corpus and the model lie.</summary>
    public string Folder { get; } = Path.Combine(Path.GetTempPath(), $"gatedfwa-cli-model-{Guid.NewGuid():N}");

    public string Model => Path.Combine(Folder, "model");

    public string Corpus => Path.Combine(Folder, TinyRun.Corpus);

    public CommandResult Training { get; }

    public void Dispose() => Directory.Delete(Folder, recursive: true);
}
