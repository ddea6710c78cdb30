using System.CommandLine;
using System.Diagnostics;
using System.Text;
using GatedFwa.Checkpoints;
using GatedFwa.Generation;
using GatedFwa.Models;
using GatedFwa.Tensors;
using GatedFwa.Tokenizers;

namespace GatedFwa.Cli.Commands;

/// <summary><c>gatedfwa generate</c>: continues a text, as fast as it comes.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "A model directory or a run." };
        var prompt = new Option<string?>("--prompt")
        {
            Description = "The beginning of the text. [default: standard input, where it is a pipe; otherwise nothing]",
            HelpName = "TEXT",
        };
        Option<int?> maxTokens = SharedOptions.Count("--max-tokens", "Stop after this many tokens.", "256", least: 0);
        Option<float> temperature = Number("--temperature", "Below 1 bolder about the likely, 0 always the likeliest.", "X", 0.8f);
        var topK = new Option<int?>("--top-k") { Description = "Draw among this many likeliest tokens. [default: all]", HelpName = "N" };
        Option<float> topP = Number("--top-p", "Draw among the likeliest tokens that add up to this probability.", "P", 1);
        Option<float> minP = Number("--min-p", "Draw among tokens at least this many times as likely as the likeliest.", "P", 0);
        Option<float> penalty = Number("--repetition-penalty", "Above 1 makes recent tokens less likely.", "X", 1);
        var seed = new Option<ulong>("--seed")
        {
            Description = "The same seed writes the same text.",
            HelpName = "N",
            DefaultValueFactory = _ => 0,
        };
        var stop = new Option<string[]>("--stop") { Description = "End before this text; may be given several times.", HelpName = "TEXT" };
        var endless = new Option<bool>("--endless") { Description = "Write on, as a new text, where the model ends one." };
        var verbose = new Option<bool>("--verbose") { Description = "Say on stderr how fast it was." };
        Option<int?> threads = SharedOptions.Threads();
        Option<string> device = SharedOptions.Device();
        Option<string?> type = SharedOptions.Activations();
        var command = new Command(
            "generate", "Continues a text with a trained model; it streams, and memory does not grow with the length.")
        {
            model, prompt, maxTokens, temperature, topK, topP, minP, penalty, seed, stop, endless, verbose, threads, device, type,
        };
        command.SetAction(result =>
        {
            SharedOptions.UseThreads(result.GetValue(threads));
            var options = new GenerationOptions
            {
                MaxTokens = result.GetValue(maxTokens) ?? 256,
                StopStrings = result.GetValue(stop) ?? [],
                StopAtBoundary = !result.GetValue(endless),
                Sampling = new SamplingOptions
                {
                    Temperature = result.GetValue(temperature),
                    TopK = result.GetValue(topK),
                    TopP = result.GetValue(topP),
                    MinP = result.GetValue(minP),
                    RepetitionPenalty = result.GetValue(penalty),
                    Seed = result.GetValue(seed),
                },
            }.Validate();
            Device place = SharedOptions.ParseDevice(result.GetValue(device)!);
            DType? activations = SharedOptions.ParseType(result.GetValue(type), place);
            (LanguageModel loaded, ByteTokenizer tokenizer) = ModelDirectory.Load(result.GetValue(model)!, place, activations);
            using (loaded) Write(new Generator(loaded, tokenizer), Prompt.Read(result.GetValue(prompt)), options, result.GetValue(verbose));
        });
        return command.WithExamples(
            ("Continue a beginning:", "gatedfwa generate runs/nano --prompt \"Returns the\""),
            (
                "Continue a file, carefully, up to an empty line:",
                "gatedfwa generate runs/nano --temperature 0.5 --stop $'\\n\\n' < text.txt"),
            ("Write for ever:", "gatedfwa generate runs/nano --endless --max-tokens 1000000000 | less"));
    }

    private static Option<float> Number(string name, string description, string helpName, float usual) =>
        new(name) { Description = description, HelpName = helpName, DefaultValueFactory = _ => usual };

    private static void Write(Generator generator, string prompt, GenerationOptions options, bool verbose)
    {
        bool terminal = !Console.IsOutputRedirected;
        using Stream stream = ResultStream.Open();
        void Print(string text)
        {
            stream.Write(Encoding.UTF8.GetBytes(terminal ? Words.Printable(text) : text));
            stream.Flush();
        }

        // A person wants to read the whole text; a program has the prompt already.
        if (terminal) Print(prompt);
        long start = Stopwatch.GetTimestamp();
        TimeSpan first = default;
        long bytes = 0;
        foreach (string piece in generator.Generate(prompt, options))
        {
            if (bytes == 0) first = Stopwatch.GetElapsedTime(start);
            bytes += Encoding.UTF8.GetByteCount(piece);
            Print(piece);
        }

        if (terminal) Print("\n");
        if (!verbose) return;
        TimeSpan all = Stopwatch.GetElapsedTime(start);
        double rate = bytes > 1 ? (bytes - 1) / (all - first).TotalSeconds : 0;
        Console.Error.WriteLine(
            $"{Words.Count(bytes)} bytes in {Words.Number(all.TotalSeconds, "F2")} s: " +
            $"the first after {Words.Number(first.TotalMilliseconds, "F0")} ms, then {Words.Number(rate, "F0")} bytes/s.");
    }
}
