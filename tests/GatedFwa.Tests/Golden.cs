using System.Globalization;
using GatedFwa.Checkpoints;
using GatedFwa.Tensors;

namespace GatedFwa.Tests;

/// <summary>A file of inputs and float64 results (rounded to float32) from an independent oracle.</summary>
internal sealed class Golden : IDisposable
{
    private static readonly string Folder = Path.Combine(AppContext.BaseDirectory, "Golden");
    private readonly SafetensorsFile _file;

    private Golden(string name) => _file = SafetensorsFile.Open(PathOf(name));

    /// <summary>The operator the file is about, such as <c>decay_gate</c>.</summary>
    public string Kind => _file.Metadata["kind"];

    /// <summary>Keys a query sees, or none.</summary>
    public int? Window => _file.Metadata.TryGetValue("window", out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    /// <summary>The factor of q·k.</summary>
    public float Scale => float.Parse(_file.Metadata["scale"], CultureInfo.InvariantCulture);

    /// <summary>The gate's ε.</summary>
    public float Epsilon => float.Parse(_file.Metadata["epsilon"], CultureInfo.InvariantCulture);

    /// <summary>A whole number of the metadata: <c>block_size</c>.</summary>
    public int Count(string key) => int.Parse(_file.Metadata[key], CultureInfo.InvariantCulture);

    /// <summary>The documents packed into the file's single row, or one document a row.</summary>
    public SequenceLayout Layout => Has("cu_seqlens") ? SequenceLayout.Packed(_file.ReadIntegers("cu_seqlens")) : SequenceLayout.Dense;

    /// <summary>Opens the file of that name, such as <c>attention_basic</c>.</summary>
    public static Golden Open(string name) => new(name);

    public static string PathOf(string name) => Path.Combine(Folder, name + ".safetensors");

    /// <summary>The names of all files that begin so: <c>attention</c>, <c>gate</c> or <c>nsa</c>.</summary>
    public static TheoryData<string> Names(string prefix) =>
        [.. Directory.EnumerateFiles(Folder, prefix + "_*.safetensors").Select(path => Path.GetFileNameWithoutExtension(path)).Order()];

    public bool Has(string tensor) => _file.Contains(tensor);

    public Shape Shape(string tensor) => _file[tensor].Shape;

    public float[] Floats(string tensor) => _file.ReadFloats(tensor);

    public int[] Integers(string tensor) => _file.ReadIntegers(tensor);

    /// <summary>The tensor, on the CPU; the caller disposes it.</summary>
    public Tensor Tensor(string tensor) => Tensors.Tensor.From(Floats(tensor), Shape(tensor));

    public void Dispose() => _file.Dispose();
}
