using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;

namespace GatedFwa.Checkpoints;

/// <summary>
/// A model on disk: <c>config.json</c>, <c>model.safetensors</c> and <c>tokenizer.json</c> in one folder. The folder of a
/// training run holds the same three beside its own files, so that it loads as a model, too.
/// </summary>
/// <example>
/// <code>
/// (LanguageModel model, ByteTokenizer tokenizer) = ModelDirectory.Load("runs/nano");
/// using (model) Console.WriteLine(model.ParameterCount);
/// </code>
/// </example>
public static class ModelDirectory
{
    /// <summary>The name of the file with the model's configuration.</summary>
    public const string ConfigFile = "config.json";

    /// <summary>The name of the file with the model's parameters.</summary>
    public const string WeightsFile = "model.safetensors";

    /// <summary>The name of the file that says how text becomes tokens.</summary>
    public const string TokenizerFile = "tokenizer.json";

    /// <summary>Writes a model. Each file is replaced in one step, the parameters last.</summary>
    /// <param name="path">The folder; made where it does not exist.</param>
    /// <param name="model">The model.</param>
    /// <param name="tokenizer">
    /// Its tokenizer; null for a model whose tokens are not text, which then cannot be loaded as one of text.
    /// </param>
    /// <exception cref="InputException">A file cannot be written.</exception>
    public static void Save(string path, LanguageModel model, ByteTokenizer? tokenizer)
    {
        AtomicFile.CreateDirectory(path);
        SaveSettings(path, model.Config, tokenizer);
        SaveWeights(Path.Combine(path, WeightsFile), model);
    }

    /// <summary>Writes the files beside the parameters, which never change while a model learns.</summary>
    internal static void SaveSettings(string path, ModelConfig config, ByteTokenizer? tokenizer)
    {
        AtomicFile.WriteText(Path.Combine(path, ConfigFile), config.ToJson());
        tokenizer?.Save(Path.Combine(path, TokenizerFile));
    }

    /// <summary>Writes a model's parameters, without the files beside them.</summary>
    /// <param name="path">The safetensors file; its folder must exist.</param>
    /// <param name="model">The model.</param>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static void SaveWeights(string path, LanguageModel model) => SafetensorsWriter.Write(
        path,
        model.Parameters.Select(parameter => SafetensorsTensor.From(parameter.Name, parameter.Value)),
        new Dictionary<string, string> { ["format"] = "gatedfwa" });

    /// <summary>Reads a model. Its files are held against each other before any memory is taken for parameters.</summary>
    /// <param name="path">The folder of a model or of a run.</param>
    /// <param name="device">Where the model is to live; the CPU unless given.</param>
    /// <param name="activations">The type of its activations: F32 on the CPU; on a GPU BF16 unless given, or F32 or F16.</param>
    /// <returns>The model, for the caller to dispose, and its tokenizer.</returns>
    /// <exception cref="InputException">A file is missing or damaged, or the files do not belong together.</exception>
    public static (LanguageModel Model, ByteTokenizer Tokenizer) Load(string path, Device device = default, DType? activations = null)
    {
        ModelConfig config = LoadConfig(path);
        string tokenizerFile = Path.Combine(path, TokenizerFile);
        if (!File.Exists(tokenizerFile))
        {
            throw new InputException(
                $"{Phrase.Quote(path)} holds no {TokenizerFile}, as that of a model that learned a task instead of text; " +
                "name a model of text, or restore the file.");
        }

        ByteTokenizer tokenizer = ByteTokenizer.Load(tokenizerFile);
        if (config.VocabularySize < ByteTokenizer.VocabularySize)
        {
            throw new InputException(
                $"The vocabulary_size {config.VocabularySize} of {Phrase.Quote(Path.Combine(path, ConfigFile))} is smaller than the " +
                $"tokenizer's {ByteTokenizer.VocabularySize}; the files belong to different models, copy the folder again.");
        }

        using SafetensorsFile weights = OpenWeights(path);
        return (LoadWeights(weights, config, device, activations), tokenizer);
    }

    /// <summary>Reads a model's configuration alone.</summary>
    /// <param name="path">The folder of a model or of a run.</param>
    /// <exception cref="InputException">There is no such folder, or its configuration cannot be used.</exception>
    public static ModelConfig LoadConfig(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new InputException(
                $"There is no folder {Phrase.Quote(path)} with a model in it; " +
                $"check the path, or train one with \"gatedfwa train --output {Phrase.Printable(path)}\".");
        }

        string file = Path.Combine(path, ConfigFile);
        if (!File.Exists(file))
        {
            throw new InputException(
                $"{Phrase.Quote(path)} holds no {ConfigFile}, so it is no model; name a folder that \"gatedfwa train\" wrote.");
        }

        return ModelConfig.Parse(StrictJson.ReadBytes(file), file);
    }

    /// <summary>Opens the file with a model's parameters.</summary>
    /// <exception cref="InputException">There is none, or it is damaged.</exception>
    internal static SafetensorsFile OpenWeights(string path)
    {
        string file = Path.Combine(path, WeightsFile);
        if (File.Exists(file)) return SafetensorsFile.Open(file);
        throw new InputException(
            $"{Phrase.Quote(path)} holds no {WeightsFile}; wait for the first checkpoint if it is being trained, or restore the file.");
    }

    private static LanguageModel LoadWeights(SafetensorsFile file, ModelConfig config, Device device, DType? activations)
    {
        WeightsCheck.Run(file, config);
        file.Verify();
        LanguageModel model = LanguageModel.Uninitialised(config, device, activations);
        try
        {
            foreach (Parameter parameter in model.Parameters) Read(file, parameter);
            return model;
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    private static void Read(SafetensorsFile file, Parameter parameter)
    {
        if (parameter.Value.Device.IsCpu) file.ReadFloats(parameter.Name, parameter.Value.AsSpan());
        else parameter.Value.CopyFrom(file.ReadFloats(parameter.Name));
    }
}
