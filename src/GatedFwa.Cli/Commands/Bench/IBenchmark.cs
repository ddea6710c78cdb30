namespace GatedFwa.Cli.Commands.Bench;

/// <summary>One kind of <c>gatedfwa bench</c>.</summary>
internal interface IBenchmark
{
    /// <summary>The word on the command line.</summary>
    string Name { get; }

    /// <summary>What is measured and what counts as work, in a sentence or two.</summary>
    string Explanation { get; }

    /// <summary>Measures; a row comes as soon as it is known.</summary>
    /// <param name="threads">How many threads work.</param>
    IEnumerable<Row> Measure(int threads);
}
