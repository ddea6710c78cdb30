using System.Text.Json;

namespace GatedFwa.Cli.Tests;

public sealed class InfoTests : CommandTest
{
    [Fact]
    public void The_machine_is_described_in_words()
    {
        string output = Succeeded(Run("info"));

        Assert.Contains("vector unit", output);
        Assert.Contains($"threads            {Environment.ProcessorCount}", output);
        // The GPU, or the sentence why there is none.
        Assert.Matches("(?m)^GPU.*(multiprocessors|NVIDIA)", output);
    }

    [Fact]
    public void The_machine_is_described_for_programs()
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("info", "--json", "--peak")));
        JsonElement machine = document.RootElement.GetProperty("machine");

        Assert.Contains(machine.GetProperty("simd_width").GetInt32(), (int[])[4, 8, 16]);
        JsonElement cuda = document.RootElement.GetProperty("cuda");
        Assert.Equal(cuda.GetProperty("available").GetBoolean(), cuda.GetProperty("reason").ValueKind == JsonValueKind.Null);
        JsonElement peak = document.RootElement.GetProperty("peaks")[0];
        Assert.InRange(peak.GetProperty("fma_gigaflops").GetDouble(), 0.1, 10_000);
        Assert.InRange(peak.GetProperty("read_gigabytes_per_second").GetDouble(), 0.1, 10_000);
    }
}
