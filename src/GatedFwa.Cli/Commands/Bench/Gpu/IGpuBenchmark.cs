namespace GatedFwa.Cli.Commands.Bench.Gpu;

/// <summary>One kind of <c>gatedfwa bench --device cuda</c>.</summary>
internal interface IGpuBenchmark
{
    /// <summary>The word on the command line.</summary>
    string Name { get; }

    /// <summary>What is measured and what counts as work, in a sentence or two.</summary>
    string Explanation { get; }

    /// <summary>Measures; a row comes as soon as it is known.</summary>
    /// <param name="gpu">The GPU, and its clock.</param>
    IEnumerable<Row> Measure(GpuClock gpu);
}
