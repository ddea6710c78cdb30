namespace GatedFwa.Cli.Tests;

/// <summary>Model directories whose files are not what they should be.</summary>
public sealed class DamagedModelTests : CommandTest, IClassFixture<TrainedModel>
{
    public DamagedModelTests(TrainedModel trained)
    {
        Directory.CreateDirectory(InFolder("model"));
        foreach (string file in (string[])["config.json", "model.safetensors", "tokenizer.json"])
            File.Copy(Path.Combine(trained.Model, file), InFolder("model", file));
    }

    [Fact]
    public void A_folder_that_is_not_there_is_named() => RefusedWithOneSentence(Run("generate", "nowhere", "--prompt", "x"), "nowhere");

    [Theory]
    [InlineData("config.json")]
    [InlineData("model.safetensors")]
    [InlineData("tokenizer.json")]
    public void A_missing_file_is_named(string file)
    {
        File.Delete(InFolder("model", file));

        RefusedWithOneSentence(Generate(), file);
    }

    [Theory]
    [InlineData("config.json")]
    [InlineData("model.safetensors")]
    [InlineData("tokenizer.json")]
    public void An_empty_file_is_named(string file)
    {
        File.WriteAllText(InFolder("model", file), "");

        RefusedWithOneSentence(Generate(), file);
    }

    [Fact]
    public void An_unknown_key_of_the_configuration_is_named()
    {
        ChangeConfig("\"layers\"", "\"lairs\"");

        RefusedWithOneSentence(Generate(), "lairs");
    }

    [Theory]
    [InlineData("\"heads\": 2", "\"heads\": 3")]
    [InlineData("\"heads\": 2", "\"heads\": 4")]
    [InlineData("\"window\": 8", "\"window\": 0")]
    [InlineData("\"width\": 16", "\"width\": 32")]
    [InlineData("\"layers\": 1", "\"layers\": 2")]
    [InlineData("\"layers\": 1", "\"layers\": \"one\"")]
    public void A_configuration_that_makes_no_model_or_another_is_refused(string before, string after)
    {
        ChangeConfig(before, after);

        RefusedWithOneSentence(Generate());
    }

    [Theory]
    [InlineData(12)] // in the header
    [InlineData(-1000)] // in the numbers
    public void A_flipped_bit_in_the_weights_is_noticed(int position)
    {
        string path = InFolder("model", "model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        bytes[position < 0 ? bytes.Length + position : position] ^= 0x10;
        File.WriteAllBytes(path, bytes);

        RefusedWithOneSentence(Generate(), "model.safetensors");
    }

    [Theory]
    [InlineData("generate", "--prompt", "x")]
    [InlineData("evaluate", "text.txt", "--json")]
    public void Weights_that_are_no_numbers_are_said_to_be_damaged(string command, params string[] more)
    {
        File.WriteAllText(InFolder("text.txt"), "some text");
        string path = InFolder("model", "model.safetensors");
        byte[] bytes = File.ReadAllBytes(path);
        bytes.AsSpan(8 + (int)BitConverter.ToUInt64(bytes)).Fill(0xFF); // All bits set is not a number.
        int checksum = bytes.AsSpan().IndexOf("crc32c"u8);
        bytes[checksum] = (byte)'x'; // As another program would write it: without.
        File.WriteAllBytes(path, bytes);

        RefusedWithOneSentence(Run([command, "model", .. more]), "not numbers", "another checkpoint");
    }

    [Fact]
    public void Cut_off_weights_are_noticed()
    {
        string path = InFolder("model", "model.safetensors");
        File.WriteAllBytes(path, File.ReadAllBytes(path)[..^100]);

        RefusedWithOneSentence(Generate(), "model.safetensors");
    }

    [Fact]
    public void The_text_to_evaluate_is_checked_like_that_to_learn_from()
    {
        File.WriteAllText(InFolder("empty.txt"), "");

        RefusedWithOneSentence(Run("evaluate", "model", "missing.txt"), "missing.txt");
        RefusedWithOneSentence(Run("evaluate", "model", "empty.txt"), "empty");
        RefusedAsUsage(Run("evaluate", "model"));
    }

    private CommandResult Generate() => Run("generate", "model", "--prompt", "x", "--max-tokens", "3");

    private void ChangeConfig(string before, string after)
    {
        string path = InFolder("model", "config.json"), text = File.ReadAllText(path);
        Assert.Contains(before, text);
        File.WriteAllText(path, text.Replace(before, after));
    }
}
