using System.Diagnostics;
using System.Text;
using GatedFwa.Models;
using GatedFwa.Tokenizers;

namespace GatedFwa.Tests.Checkpoints.Fuzz;

/// <summary>Damaged settings are read or refused, like damaged tensors.</summary>
public sealed class ConfigFuzzTests
{
    private const int Cases = 12_000;
    private const ulong Seed = 42;

    // Exceptions, the parser's rented tables and the serializer's own objects.
    private const int AllowanceBytes = 128 * 1024;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(2);

    [Fact]
    public void Every_mutated_config_is_read_or_refused_with_one_sentence()
    {
        ModelConfig tiny = ModelConfig.Preset("tiny");
        ModelConfig[] configs = [ModelConfig.Preset("nano"), tiny, ModelConfig.Preset("small"), tiny with { NativeSparse = new() }];
        byte[][] files = [.. configs.Select(config => Encoding.UTF8.GetBytes(config.ToJson()))];
        string[] expected = ["is not valid JSON", "unknown key", "lacks the key", "whole number is expected", "a number is expected", "true or false is expected", "it must be", "head size"];
        Fuzz(files, file => ModelConfig.Parse(file), expected);
    }

    [Fact]
    public void Every_mutated_tokenizer_is_read_or_refused_with_one_sentence() =>
        Fuzz(
            [Encoding.UTF8.GetBytes(new ByteTokenizer().ToJson())],
            file => ByteTokenizer.Parse(file),
            ["is not valid JSON", "unknown key", "names no type", "is of type", "has vocabulary_size"]);

    private static void Fuzz(byte[][] files, Action<byte[]> read, string[] expected)
    {
        // What the serializer learns once about a type is no cost of a file.
        foreach (byte[] file in files) Assert.Null(Outcome(file, read, int.MaxValue));

        int readable = 0;
        var complaints = new HashSet<string>();
        for (int number = 0; number < Cases; number++)
        {
            byte[] file = new Mutator(Seed, number).Damage(files);
            long start = Stopwatch.GetTimestamp();
            string? message = Outcome(file, read, file.Length + AllowanceBytes);
            Assert.True(Stopwatch.GetElapsedTime(start) < Limit, $"Case {number} took {Stopwatch.GetElapsedTime(start)}.");
            if (message is null) readable++;
            else complaints.Add(message);
            Assert.DoesNotContain('\n', message ?? "");
        }

        Assert.InRange(readable, Cases / 1000, Cases / 2);
        Assert.Equal([], expected.Where(part => !complaints.Any(complaint => complaint.Contains(part, StringComparison.Ordinal))));
    }

    private static string? Outcome(byte[] file, Action<byte[]> read, long limitBytes)
    {
        long before = GC.GetAllocatedBytesForCurrentThread();
        string? message = null;
        try
        {
            read(file);
        }
        catch (InputException e)
        {
            message = e.Message;
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, limitBytes);
        return message;
    }
}
