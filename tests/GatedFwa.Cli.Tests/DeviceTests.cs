using System.Text.Json;
using GatedFwa.Testing;

namespace GatedFwa.Cli.Tests;

/// <summary>The same commands on a GPU, on the same files.</summary>
public sealed class DeviceTests : CommandTest
{
    public DeviceTests()
    {
        string? missing = TestBackend.CudaFloat32.Missing;
        Assert.SkipWhen(missing is not null, missing ?? "");
    }

    [Fact]
    public void A_run_begun_on_a_GPU_goes_on_on_the_CPU_and_its_model_serves_both()
    {
        TinyRun.WriteCorpus(Folder);
        string[] begin = TinyRun.Train("run", 6, "--device", "cuda", "--dtype", "f32", "--evaluate-every", "3", "--save-every", "0");
        Succeeded(Run(begin));
        Succeeded(Run(["train", "--resume", "--output", "run", "--data", TinyRun.Corpus, "--device", "cpu"]));
        File.WriteAllText(InFolder("text.txt"), "the cat sees a dog. one bird hears the old horse. ");

        double onCpu = BitsPerByte("cpu", "f32");
        Assert.InRange(Math.Abs(BitsPerByte("cuda", "f32") - onCpu) / onCpu, 0, 1e-5);
        Assert.InRange(Math.Abs(BitsPerByte("cuda:0", "bf16") - onCpu) / onCpu, 0, 1e-2);

        string[] generate = ["generate", "run", "--prompt", "the", "--max-tokens", "12", "--temperature", "0"];
        Assert.Equal(Succeeded(Run(generate)), Succeeded(Run([.. generate, "--device", "cuda", "--dtype", "f32"])));
    }

    private double BitsPerByte(string device, string type)
    {
        using JsonDocument document = JsonDocument.Parse(Succeeded(Run("evaluate", "run", "text.txt", "--json", "--device", device, "--dtype", type)));
        return document.RootElement.GetProperty("bits_per_byte").GetDouble();
    }
}
