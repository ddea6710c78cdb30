using GatedFwa.Testing;

namespace GatedFwa.Cli.Tests;

/// <summary>A model trained once for all tests of a class.</summary>
public sealed class TrainedModel : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public TrainedModel()
    {
        TinyRun.WriteCorpus(Folder);
        Training = Cli.Run(Folder, [], TinyRun.Train("model", steps: 150, "--lr", "0.01", "--evaluate-every", "50"));
    }

    /// <summary>Where the corpus and the model lie.</summary>
    public string Folder => _folder.Root;

    public string Model => Path.Combine(Folder, "model");

    public string Corpus => Path.Combine(Folder, TinyRun.Corpus);

    public CommandResult Training { get; }

    public void Dispose() => _folder.Dispose();
}
